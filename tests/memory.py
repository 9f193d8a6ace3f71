"""memory.py PID NAME=HEX...: where the octets of each name are in the memory of a process, as
`NAME vault N unlocked N elsewhere N`. The vault are mappings that no core dump has (dd) and that are locked (lo).
"""
import sys


def mappings(pid):
    found = []
    with open(f"/proc/{pid}/smaps") as file:
        for line in file:
            words = line.split()
            if line.startswith("VmFlags:"):
                found[-1]["flags"] = set(words[1:])
            elif "-" in words[0] and not words[0].endswith(":"):
                begin, end = (int(part, 16) for part in words[0].split("-"))
                found.append({"begin": begin, "end": end, "rights": words[1], "flags": set()})
    return found


def main():
    pid = sys.argv[1]
    wanted = {name: bytes.fromhex(text) for name, text in (word.split("=") for word in sys.argv[2:])}
    hits = {name: {"vault": 0, "unlocked": 0, "elsewhere": 0} for name in wanted}
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for mapping in mappings(pid):
            if not mapping["rights"].startswith("r"):
                continue
            try:
                memory.seek(mapping["begin"])
                text = memory.read(mapping["end"] - mapping["begin"])
            except (OSError, ValueError, OverflowError):
                continue  # the kernel's own pages
            for name, needle in wanted.items():
                times = text.count(needle)
                if "dd" not in mapping["flags"]:
                    hits[name]["elsewhere"] += times
                elif "lo" not in mapping["flags"]:
                    hits[name]["unlocked"] += times
                else:
                    hits[name]["vault"] += times
    for name, places in hits.items():
        print(name, *(f"{place} {times}" for place, times in places.items()))


main()
