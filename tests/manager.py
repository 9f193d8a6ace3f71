"""A service manager as far as its file descriptor store goes (sd_notify(3)): manager.py STORE-SOCKET prepare WORDS...
-- COMMAND WORDS... keeps what the first program hands it, and becomes the second, handed all of it.

Says on standard error how many descriptors it keeps by which name.
"""

import array
import collections
import os
import socket
import subprocess
import sys

path, words = sys.argv[1], sys.argv[2:]
first, second = words[:words.index("--")], words[words.index("--") + 1:]
store = collections.OrderedDict()
if os.path.exists(path):
    os.unlink(path)
receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
receiver.bind(path)
os.chmod(path, 0o666)


def take():
    data, control, _, _ = receiver.recvmsg(4096, 4096)
    given = array.array("i")
    for level, kind, content in control:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            given.frombytes(content)
    state = dict(line.split("=", 1) for line in data.decode().split("\n"))
    if "FDSTORE" in state:
        store.setdefault(state["FDNAME"], []).extend(given)
        return
    if "FDSTOREREMOVE" in state:
        for fd in store.pop(state["FDNAME"], []):
            os.close(fd)
    for fd in given:  # of a barrier
        os.close(fd)


program = subprocess.Popen(first, env={**os.environ, "NOTIFY_SOCKET": path})
receiver.settimeout(0.2)
while program.poll() is None:
    try:
        take()
    except TimeoutError:
        pass
if program.returncode != 0:
    sys.exit(program.returncode)
kept = [(name, fd) for name, fds in store.items() for fd in fds]
print("kept:", *(f"{name} {len(fds)}" for name, fds in store.items()), file=sys.stderr, flush=True)
receiver.close()
apart = [os.dup(fd) for _, fd in kept]
apart = [(fd, os.dup2(fd, 200 + i, inheritable=False)) for i, fd in enumerate(apart)]
for i, (_, fd) in enumerate(apart):
    os.dup2(fd, 3 + i, inheritable=True)
os.environ.update(
    LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(kept)), LISTEN_FDNAMES=":".join(name for name, _ in kept))
os.execvp(second[0], second)
