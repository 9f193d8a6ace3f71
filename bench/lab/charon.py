"""strongSwan in a host: charon-systemd with swanctl's files, raw Ed25519 keys, and what it says over vici."""

import subprocess

from . import measure
from .vici import Vici

PORT = 12025
FOLDERS = "private pubkey x509 x509ca x509ocsp x509aa x509ac x509crl rsa ecdsa bliss pkcs8 pkcs12".split()


def make_key(path):
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", path], check=True)
    return path


class Charon:
    """`connections`: name -> swanctl.conf lines of it. All hosts share one key: whose it is does not change the cost."""

    def __init__(self, host, key):
        self.host = host
        self.directory = host.directory / "swanctl"
        for folder in FOLDERS:
            (self.directory / folder).mkdir(parents=True)
        (self.directory / "private/key.pem").write_bytes(open(key, "rb").read())
        subprocess.run(["openssl", "pkey", "-in", key, "-pubout", "-out", self.directory / "pubkey/all.pem"], check=True)
        self.socket = host.directory / "charon.vici"
        # 16 threads are its default; the hash table as its documentation advises for many SAs.
        self.settings = host.file("strongswan.conf", f"""\
charon {{
  load = random nonce openssl pem pkcs1 pkcs8 pubkey kdf kernel-netlink socket-default vici
  port = 0
  port_nat_t = {PORT}
  install_routes = no
  install_virtual_ip = no
  dos_protection = no
  cookie_threshold = 0
  ikesa_table_size = 1024
  ikesa_table_segments = 16
  plugins {{
    vici {{
      socket = unix://{self.socket}
    }}
    socket-default {{
      set_source = yes
      set_sourceif = yes
    }}
  }}
}}
swanctl {{
  socket = unix://{self.socket}
}}
""")
        self.connections = []

    def add(self, name, own, other, own_id, other_id, childless="allow", if_id=None):
        interface = f"if_id_in = {if_id}\n    if_id_out = {if_id}" if if_id else ""
        self.connections.append(f"""\
  {name} {{
    version = 2
    proposals = aes256gcm16-prfsha256-x25519
    local_addrs = {own}
    remote_addrs = {other}
    local_port = {PORT}
    remote_port = {PORT}
    encap = yes
    mobike = no
    childless = {childless}
    {interface}
    local {{
      auth = pubkey
      id = "O=acme,CN={own_id},serialNumber=0"
      pubkeys = all.pem
    }}
    remote {{
      auth = pubkey
      id = "O=acme,CN={other_id},serialNumber=0"
      pubkeys = all.pem
    }}
    children {{
      {name} {{
        local_ts = 0.0.0.0/0,::/0
        remote_ts = 0.0.0.0/0,::/0
        esp_proposals = aes256gcm16
        start_action = none
      }}
    }}
  }}
""")

    def spawn(self):
        (self.directory / "swanctl.conf").write_text("connections {\n" + "".join(self.connections) + "}\n")
        self.process = self.host.spawn("env", f"STRONGSWAN_CONF={self.settings}", "charon-systemd")

    def load(self):
        self.vici = Vici(self.socket)
        self.host.run("env", f"STRONGSWAN_CONF={self.settings}", f"SWANCTL_DIR={self.directory}", "swanctl", "--load-all")

    def initiate(self, **what):
        """Returns at once."""
        self.vici.ask("initiate", timeout="-1", **what)

    def established(self):
        sas = self.vici.ask("stats")["ikesas"]
        return int(sas["total"]) - int(sas["half-open"])

    def cpu(self):
        return measure.cpu_seconds(self.process.pid)

    def memory(self):
        return measure.memory(self.process.pid)
