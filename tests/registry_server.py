"""A web server of registries: python3 registry_server.py FOLDER [CERTIFICATE KEY], on port 8080, or 8443 with TLS.

It serves the files of FOLDER in the way that the file `mode` there says, which is read for every question:

    fine                as one would: ETag, Last-Modified, 304 for what has not changed
    dated               without ETag: Last-Modified alone, which is the file's, and 304 for who has that
    bare                without ETag and Last-Modified
    status NUMBER       an error
    redirect URL        for /registry.json alone
    half                the connection ends in the middle of the body
    large               a body that is said to have 1 GB
    endless             a body that does not end, in chunks
    silent              nothing, ever

Every question is a line in the file `asked`: path, what was conditional, status.
"""

import email.utils
import hashlib
import http.server
import os
import ssl
import sys
import time

folder = sys.argv[1]


def read(name):
    with open(os.path.join(folder, name), "rb") as file:
        return file.read()


class Server(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def note(self, status):
        condition = self.headers.get("If-None-Match") or self.headers.get("If-Modified-Since", "-").replace(" ", "_")
        with open(os.path.join(folder, "asked"), "a") as file:
            file.write(f"{self.path} {condition} {status}\n")

    def head(self, status, **fields):
        self.note(status)
        self.send_response(status)
        for name, value in fields.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def do_GET(self):
        mode, *words = read("mode").decode().split()
        handle = getattr(self, "serve_" + mode)
        self.close_connection = True
        handle(*words)

    def serve_fine(self, labelled=True):
        try:
            body = read(self.path.lstrip("/").split("?")[0])
        except OSError:
            return self.head(404, Content_Length=0)
        tag = '"' + hashlib.sha256(body).hexdigest()[:16] + '"'
        if labelled and self.headers.get("If-None-Match") == tag:
            return self.head(304, ETag=tag)
        labels = {"ETag": tag, "Last_Modified": "Sun, 06 Nov 1994 08:49:37 GMT"} if labelled else {}
        self.head(200, Content_Length=len(body), **labels)
        self.wfile.write(body)

    def serve_dated(self):
        name = self.path.lstrip("/").split("?")[0]
        body = read(name)
        date = email.utils.formatdate(os.stat(os.path.join(folder, name)).st_mtime, usegmt=True)
        if self.headers.get("If-Modified-Since") == date:
            return self.head(304, Last_Modified=date)
        self.head(200, Content_Length=len(body), Last_Modified=date)
        self.wfile.write(body)

    def serve_bare(self):
        self.serve_fine(labelled=False)

    def serve_status(self, number):
        self.head(int(number), Content_Length=0)

    def serve_redirect(self, where):
        if self.path != "/registry.json":
            return self.serve_fine()
        self.head(302, Location=where, Content_Length=0)

    def serve_half(self):
        body = read("registry.json")
        self.head(200, Content_Length=len(body))
        self.wfile.write(body[:len(body) // 2])

    def serve_large(self):
        self.head(200, Content_Length=1 << 30)
        self.wfile.write(b" " * (1 << 16))

    def serve_endless(self):
        self.head(200, Transfer_Encoding="chunked")
        chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
        while True:
            self.wfile.write(chunk)

    def serve_silent(self):
        self.note(0)
        time.sleep(3600)

    def log_message(self, *_):
        pass


class Listener(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):  # who hangs up early is what is tested
        pass


listener = Listener(("", 8443 if len(sys.argv) > 2 else 8080), Server)
if len(sys.argv) > 2:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[2], sys.argv[3])
    listener.socket = context.wrap_socket(listener.socket, server_side=True, do_handshake_on_connect=False)
listener.serve_forever()
