"""One client in one story: gRPC, WebSocket over HTTP/1 or HTTP/2, or an upload over HTTP/2.

Says `begun` in the middle of what is to be cut, and at the end on one line how it ended.
"""

import asyncio
import os
import socket
import ssl
import sys
import threading

PATIENCE = 20
KIND, STORY, ADDRESS, PREFIX, NAME, *CA = sys.argv[1:]


def say(what):
    print(what, flush=True)


def grpc_calls():
    import grpc

    if CA:
        trusted = grpc.ssl_channel_credentials(open(CA[0], "rb").read())
        channel = grpc.secure_channel(ADDRESS, trusted, [("grpc.ssl_target_name_override", NAME)])
    else:
        channel = grpc.insecure_channel(ADDRESS)
    made = {
        "Echo": channel.unary_unary,
        "Count": channel.unary_stream,
        "Collect": channel.stream_unary,
        "Talk": channel.stream_stream,
        "Refuse": channel.stream_unary,
        "Lack": channel.unary_unary,
        "Idle": channel.unary_unary,
    }
    call = {name: make(f"/{PREFIX}/{name}") for name, make in made.items()}

    def code_of(run):
        try:
            run()
        except grpc.RpcError as error:
            return error.code().name
        return "OK"

    def endless():
        # As fast as the window lets it, until the call has ended.
        while True:
            yield b"x" * 1000

    def success():
        large = os.urandom(1 << 20)
        assert call["Echo"](large, timeout=PATIENCE) == large
        assert list(call["Count"](b"n", timeout=PATIENCE)) == [b"n0", b"n1", b"n2"]
        parts = [b"a", b"b" * 70000, b"c"]
        assert call["Collect"](iter(parts), timeout=PATIENCE) == b"".join(parts)
        assert list(call["Talk"](iter([b"1", b"2", b"end"]), timeout=PATIENCE)) == [b"1", b"2"]
        codes = [
            code_of(lambda: call["Lack"](b"", timeout=PATIENCE)),
            code_of(lambda: call["Idle"](b"", timeout=0.3)),
        ]
        return " ".join(["OK", *codes])

    def middle():
        more = threading.Event()

        def requests():
            yield b"first"
            more.wait(PATIENCE)

        answers = call["Talk"](requests(), timeout=PATIENCE)
        assert next(answers) == b"first"
        say("begun")
        code = code_of(lambda: next(answers))
        more.set()
        return code

    def early():
        return code_of(lambda: call["Refuse"](endless(), timeout=PATIENCE))

    return {"success": success, "early": early, "dying": middle, "leaving": middle}[STORY]()


async def websocket_1():
    import websockets

    context = ssl.create_default_context(cafile=CA[0]) if CA else None
    path = "/refused" if STORY == "early" else "/chat"
    url = f"{'wss' if CA else 'ws'}://{ADDRESS}/{PREFIX}{path}"
    settings = dict(ssl=context, ping_interval=None, max_size=1 << 21, compression=None)
    if CA:
        settings["server_hostname"] = NAME
    try:
        async with websockets.connect(url, **settings) as opened:
            if STORY == "success":
                for message in ["text", os.urandom(1 << 20)]:
                    await opened.send(message)
                    assert await asyncio.wait_for(opened.recv(), PATIENCE) == message
                await opened.close()
                return f"closed {opened.close_code}"
            await opened.send("first")
            assert await opened.recv() == "first"
            say("begun")
            try:
                await asyncio.wait_for(opened.recv(), PATIENCE)
            except websockets.ConnectionClosed:
                return f"closed {opened.close_code}"
    except websockets.InvalidStatusCode as error:
        return f"status {error.status_code}"


class Http2:
    """A stream, by Debian's h2; it may become a WebSocket (RFC 8441)."""

    def __init__(self):
        import h2.config
        import h2.connection

        host, port = ADDRESS.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), PATIENCE)
        if CA:
            context = ssl.create_default_context(cafile=CA[0])
            context.set_alpn_protocols(["h2"])
            self.socket = context.wrap_socket(self.socket, server_hostname=NAME)
        settings = h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
        self.connection = h2.connection.H2Connection(settings)
        self.connection.initiate_connection()
        self.status, self.bytes, self.end = None, b"", None
        self.flush()

    def flush(self):
        self.socket.sendall(self.connection.data_to_send())

    def turn(self):
        """Takes what comes next."""
        import h2.events

        data = self.socket.recv(65536)
        if not data:
            self.end = self.end or "end of file"
        for event in self.connection.receive_data(data) if data else []:
            if isinstance(event, h2.events.ResponseReceived):
                self.status = dict(event.headers)[":status"]
            elif isinstance(event, h2.events.DataReceived):
                self.bytes += event.data
                self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                self.end = "end of stream"
            elif isinstance(event, h2.events.StreamReset):
                reset = f"reset {int(event.error_code)}"
                self.end = f"{self.end}, {reset}" if self.end else reset
        self.flush()

    def until(self, done):
        while not done() and not self.end:
            self.turn()

    def open(self, path):
        import h2.settings

        allowed = h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL
        self.until(lambda: self.connection.remote_settings.get(allowed) == 1)
        head = {
            ":method": "CONNECT",
            ":protocol": "websocket",
            ":scheme": "https" if CA else "http",
            ":authority": NAME,
            ":path": f"/{PREFIX}{path}",
            "sec-websocket-version": "13",
        }
        self.connection.send_headers(1, list(head.items()))
        self.flush()
        self.until(lambda: self.status)

    def send(self, opcode, payload):
        mask, size = os.urandom(4), len(payload)
        length = bytes([0x80 | size]) if size < 126 else b"\xff" + size.to_bytes(8, "big")
        masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
        frame = bytes([0x80 | opcode]) + length + mask + masked
        while frame:
            self.until(lambda: self.connection.local_flow_control_window(1) > 0)
            room = min(self.connection.local_flow_control_window(1), self.connection.max_outbound_frame_size)
            self.connection.send_data(1, frame[:room])
            self.flush()
            frame = frame[room:]

    def receive(self, size):
        """Returns the payload of a frame that is to be so long."""
        head = 2 if size < 126 else 4 if size < 65536 else 10
        self.until(lambda: len(self.bytes) >= head + size)
        payload, self.bytes = self.bytes[head : head + size], self.bytes[head + size :]
        return payload


def http_2():
    """Sends until it is answered, and goes on to its end."""
    web = Http2()
    head = [(":method", "PUT"), (":scheme", "https" if CA else "http"), (":authority", NAME)]
    web.connection.send_headers(1, [*head, (":path", f"/{PREFIX}/small/file"), ("content-length", "4194304")])
    sent = 0
    while not web.status and sent < 4194304 - 16384:
        web.until(lambda: web.status or web.connection.local_flow_control_window(1) >= 16384)
        if not web.status:
            web.connection.send_data(1, bytes(16384))
            sent += 16384
        web.flush()
    # That the rest is not wanted is said in a frame of its own, after the end of the answer.
    while "reset" not in (web.end or "") and web.end != "end of file":
        web.turn()
    return f"status {web.status}, {web.end}"


def websocket_2():
    web = Http2()
    web.open("/refused" if STORY == "early" else "/chat")
    if web.status != "200":
        # Who leaves before the end of an answer has left it.
        web.until(lambda: False)
        return f"status {web.status}"
    web.send(1, b"first")
    assert web.receive(5) == b"first"
    if STORY == "success":
        large = os.urandom(1 << 20)
        web.send(2, large)
        assert web.receive(len(large)) == large
        web.send(8, (1000).to_bytes(2, "big"))
        code = web.receive(2)
        web.until(lambda: False)
        return f"closed {int.from_bytes(code, 'big')}, {web.end.split(',')[0]}"
    say("begun")
    web.until(lambda: False)
    return web.end.split(",")[0]


if KIND == "grpc":
    say(f"= {grpc_calls()}")
elif KIND == "websocket-1":
    say(f"= {asyncio.run(websocket_1())}")
elif KIND == "http-2":
    say(f"= {http_2()}")
else:
    say(f"= {websocket_2()}")
