"""Answers `/` at once and everything else after a while, with its name; writes down what it is asked.

It is there to be killed: a thread for each connection, and nothing that would end it in order.
"""

import http.server
import sys
import time

NAME, ADDRESS, PORT, DELAY_MS = sys.argv[1:]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def answer(self):
        body = NAME.encode()
        length = int(self.headers.get("Content-Length", 0))
        self.rfile.read(length)
        if self.path != "/":
            print(self.command, self.path, flush=True)
            time.sleep(int(DELAY_MS) / 1000)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = answer

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 1024


Server((ADDRESS, int(PORT)), Handler).serve_forever()
