"""The JSON Schemas of docs/schema against the parser: its keys, the documented samples, and files that both refuse.

The parser's keys are read out of its source, each list it warns of unknown keys by; what it accepts, by the binary.
"""

import copy
import json
import os
import re
import subprocess
import sys
import tempfile

import jsonschema

root, aronet = sys.argv[1:3]
failures = 0


def check(name, fine, why=""):
    global failures
    failures += 0 if fine else 1
    print(f"ok {name}" if fine else f"not ok {name}: {why}")


def text_of(path):
    with open(os.path.join(root, path)) as file:
        return file.read()


def strict(text):
    """Blanks comments and trailing commas, as the parser does."""
    text = re.sub(r'("(?:[^"\\]|\\.)*")|#[^\n]*|//[^\n]*|/\*.*?\*/', lambda m: m.group(1) or "", text, flags=re.S)
    return re.sub(r",(\s*[\]}])", r"\1", text)


def words_of(list_of_keys):
    return frozenset(re.findall(r'"(\w+)"', list_of_keys))


def parser_key_lists():
    lists = set()
    for path in ("parse_config.cpp", "parse_babel.cpp", "parse_ike.cpp", "parse_roles.cpp", "parse_registry.cpp"):
        source = text_of("src/overlay/" + path)
        calls = re.findall(r"warn_of_(?:unknown|misspelt)\(\s*\{(.*?)\}", source, flags=re.S)
        lists |= {words_of(call) for call in calls}
        named, parts = {}, set()
        for name, part, keys in re.findall(
                r"const Keys (k\w+Keys) =\s*(?:plus\(\s*(k\w+),\s*)?\{(.*?)\}", source, flags=re.S):
            named[name] = words_of(keys) | named.get(part, frozenset())
            parts.add(part)
        lists |= {keys for name, keys in named.items() if name not in parts
        }
    return lists


def schema_key_lists(schema):
    if isinstance(schema, list):
        return set().union(*map(schema_key_lists, schema))
    if not isinstance(schema, dict):
        return set()
    own = {frozenset(schema["properties"])} if "properties" in schema else set()
    return own.union(*map(schema_key_lists, schema.values()))


key = []


# The same one each time: a registry has its public half.
def put_key(folder):
    path = folder + "/node.key"
    if not key:
        subprocess.run([aronet, "keygen", "-o", path], check=True, capture_output=True)
        with open(path) as file:
            key.append(file.read())
    with open(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
        file.write(key[0])


def parser_accepts(config, registry=None):
    with tempfile.TemporaryDirectory() as folder:
        put_key(folder)
        command = [aronet, "check-config", "--strict", "-c", folder + "/config.json"]
        for name, document in (("config", config), ("registry", registry)):
            with open(f"{folder}/{name}.json", "w") as file:
                json.dump(document, file)
        if registry is not None:
            command += ["-r", folder + "/registry.json"]
        return subprocess.run(command, capture_output=True).returncode == 0


def entry_of(config):
    with tempfile.TemporaryDirectory() as folder:
        put_key(folder)
        with open(folder + "/config.json", "w") as file:
            json.dump(config, file)
        command = [aronet, "pub", "-c", folder + "/config.json"]
        return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def with_change(document, path, value):
    result = copy.deepcopy(document)
    at = result
    for step in path[:-1]:
        at = at.setdefault(step, {}) if isinstance(at, dict) else at[step]
    at[path[-1]] = value
    return result


schemas = {name: json.loads(text_of(f"docs/schema/{name}.json")) for name in ("config", "registry")}
for schema in schemas.values():
    jsonschema.Draft202012Validator.check_schema(schema)
validators = {name: jsonschema.Draft202012Validator(schema) for name, schema in schemas.items()}

parser, written = parser_key_lists(), schema_key_lists(list(schemas.values()))
check("the schemas have every list of keys that the parser has", parser <= written, list(map(sorted, parser - written)))
check("and no other", written <= parser, list(map(sorted, written - parser)))

block = re.search(r"config\.json: comments.*?\n((?:    .*\n)+)", text_of("README.md")).group(1)
sample = json.loads(strict(block))
signer = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA19bUIA34GqLEr32rPrfBCguAcMsdv8yKjPRN+ciGs0Y=\n-----END PUBLIC KEY-----\n"
check("the README's configuration is valid", validators["config"].is_valid(sample))
check("and the parser accepts it", parser_accepts(sample))
registry = entry_of(sample)
check("what `aronet pub` prints is valid", validators["registry"].is_valid(registry), registry)
check("and the parser accepts it", parser_accepts(sample, registry))

FINE = [
    (("daemon", "mode"), "netns"), (("daemon", "use_netns"), True), (("daemon", "mtu"), 1280), (("log", "level"), "debug"),
    (("daemon", "datapath"), "user"), (("daemon", "sysctl"), "check"), (("babel", "hello_interval"), "500ms"),
    (("babel", "rxcost"), 65534), (("daemon", "seccomp"), "log"), (("ike", "dpd_interval"), 0), (("ike", "replay_window"), 4096), (("log", "format"), "json"),
    (("ike", "ike_lifetime"), "8h"), (("ike", "child_lifetime"), 0), (("ike", "child_bytes"), 1000000), (("ike", "child_packets"), 0),
    (("daemon", "host_table"), 254), (("daemon", "fwmark"), 0), (("endpoints", 0, "fwmark"), "0x2a"), (("endpoints", 0, "updown"), "/bin/true"), (("endpoints", 0, "port"), 65535),
    (("daemon", "mode"), "none"), (("babel", "interfaces"), ["lan*", {"name": "wg0", "type": "tunnel", "rxcost": 9, "mac": [
        {"algorithm": "blake2s128", "key": "00ff", "sign": False}], "import": [{"neighbour": "fe80::1", "deny": True}]}]),
    (("babel", "redistribute"), [{"protocol": "static", "min_length": 8, "metric": 7}, {"protocol": 250}, {"local": True}]),
    (("babel", "install"), [{"pref_src": "10.0.0.1", "table": 100, "metric": 5}]), (("babel", "redistribute_tables"), [254]),
    (("babel", "export"), [{"interface": "lan?", "prefix": "10.0.0.0/8", "max_length": 24, "deny": True}]),
    (("registry", "interval"), "5s"), (("registry", "public_key"), signer), (("registry", "public_key"), [signer, signer]),
    (("registry", "ca_file"), "ca.pem"), (("daemon", "state_dir"), "/var/lib/other"),
    (("connect",), [{"common_name": "hub*"}, {"organization": "o", "deny": True}]), (("connect",), None), (("connect",), []),
    (("daemon", "clamp_mss"), False), (("daemon", "ipv4_transport"), "srv6"), (("segments",), [{"prefix": "10.9.0.0/16", "via": ["o/a", "fd66::ffff:0:0:a"]}]),
    (("exit",), ["0.0.0.0/0", {"prefix": "::/0", "source": "fd10::/16", "metric": 5}]), (("babel", "transit"), False),
    (("babel", "peers"), [{"organization": "o", "cost": 100}, {"common_name": "a?", "cost": 0}]), (("babel", "max_routes"), 500),
    (("babel", "import"), [{"prefix": "::/0", "peer": "o/*", "organization": "p", "min_metric": 1, "unregistered": True}]),
    (("babel", "redistribute"), [{"table": 100, "max_metric": 70000, "deny": True}]), (("babel", "install"), [{"peer": "o/*"}]),
    (("babel", "export"), [{"peer": "o/a", "organization": "p*", "max_metric": 500, "deny": True}]),
    (("ike", "fragment_size"), 576), (("ike", "esn"), True), (("ike", "peers"), [{"psk": "a secret of some length"}]),
    (("ike", "peers"), [{"organization": "ac*", "common_name": "n?", "ppk": "0x" + 32 * "5a", "ppk_id": "one", "ppk_required": True}]),
]
for path, value in FINE:
    document = with_change(sample, path, value)
    check(f"both accept {path[-1]} {json.dumps(value)}", validators["config"].is_valid(document) and parser_accepts(document))
WRONG = [
    (("daemon", "mode"), "both"), (("daemon", "use_netns"), "yes"), (("daemon", "mtu"), 1279), (("log", "level"), "loud"),
    (("daemon", "datapath"), "fast"), (("daemon", "sysctl"), True), (("babel", "hello_interval"), "soon"),
    (("babel", "rxcost"), 65535), (("daemon", "seccomp"), "on"), (("ike", "dpd_interval"), -1), (("ike", "replay_window"), 31), (("log", "format"), "xml"),
    (("ike", "ike_lifetime"), -1), (("ike", "child_lifetime"), "soon"), (("ike", "child_bytes"), 999999), (("ike", "child_packets"), 999),
    (("daemon", "host_table"), 0), (("daemon", "fwmark"), "red"), (("endpoints", 0, "fwmark"), "red"), (("endpoints", 0, "port"), 0), (("endpoints", 0, "port"), "12025"),
    (("endpoints",), "none"), (("organization",), "a,b"), (("common_name",), "*"), (("daemon", "ifname"), "much-too-long"),
    (("babel", "interfaces"), [{"type": "wired"}]), (("babel", "interfaces"), ["a/b"]), (("babel", "import"), [{"metric": -1}]),
    (("babel", "redistribute"), [{"protocol": 140}]), (("babel", "install"), [{"neighbour": "fe80::1"}]),
    (("babel", "interfaces"), [{"name": "e", "mac": [{"algorithm": "md5", "key": "00"}]}]),
    (("babel", "interfaces"), [{"name": "e", "mac": [{"algorithm": "blake2s128"}]}]), (("babel", "install"), [{"table": 0}]),
    (("daemon", "netns_name"), "a/b"), (("daemon", "nework"), "fd66::/64"), (("endpoints", 0, "prot"), 1), (("ikev2",), {}),
    (("registry", "interval"), "often"), (("registry", "public_key"), []), (("registry", "public_key"), 3 * [signer]),
    (("registry", "public_key"), ""), (("registry", "ca_file"), 1), (("registry", "url"), "https://example.org/"),
    (("daemon", "clamp_mss"), "no"), (("daemon", "ipv4_transport"), "srv4"), (("segments",), [{"prefix": "10.9.0.0/16", "via": []}]),
    (("segments",), [{"prefix": "10.9.0.0/16", "via": ["10.1.1.1"]}]), (("segments",), [{"via": ["o/a"]}]),
    (("connect",), "hub"), (("connect",), [{"common_name": 5}]), (("connect",), [{"cost": 5}]), (("exit",), ["10.0.0.0/8"]),
    (("exit",), [{"source": "fd10::/16"}]), (("exit",), [{"prefix": "0.0.0.0/0", "source": "10.0.0.0/8"}]), (("exit",), True),
    (("babel", "peers"), [{"common_name": "a"}]), (("babel", "max_routes"), 0), (("babel", "transit"), "no"),
    (("babel", "export"), [{"unregistered": True}]), (("babel", "redistribute"), [{"table": 0}]),
    (("ike", "fragment_size"), 299), (("ike", "esn"), 1), (("ike", "peers"), [{"common_name": "n"}]), (("ike", "peers"), [{"psk": 5}]),
    (("ike", "peers"), [{"ppk": "0x" + 32 * "5a"}]), (("ike", "peers"), [{"psk": "a secret of some length", "ppk_id": "one"}]),
    (("ike", "peers"), [{"psk": "a secret of some length", "psk_file": "too"}]), (("ike", "peers"), [{"psk": ""}]),
]
for path, value in WRONG:
    document = with_change(sample, path, value)
    valid, accepted = validators["config"].is_valid(document), parser_accepts(document)
    check(f"both refuse {path[-1]} {json.dumps(value)}", not valid and not accepted, f"schema {valid}, parser {accepted}")
sys.exit(1 if failures else 0)
