"""Takes uploads: answers with their method, how they were framed, length and SHA-256.

uploads_server.py ADDRESS PORT
"""

import hashlib
import http.server
import sys


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        left = int(self.headers.get("Content-Length", 0))
        framing = "chunked" if self.headers.get("Transfer-Encoding") else "length"
        digest, length = hashlib.sha256(), 0
        while left > 0:
            some = self.rfile.read(min(left, 65536))
            if not some:
                return
            digest.update(some)
            length += len(some)
            left -= len(some)
        text = f"{self.command} {framing} {length} {digest.hexdigest()}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_PUT = do_POST = answer

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
