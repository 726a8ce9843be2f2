"""What HTTP servers of Debian do not speak: gRPC or WebSocket, on an address, plain or with TLS.

gRPC: echoes in all four kinds, and what goes wrong on purpose. WebSocket: echoes; `/refused` is refused.
Says `left` when a client leaves in the middle.
"""

import asyncio
import http
import logging
import ssl
import sys
import time
from concurrent import futures


def say(what):
    print(what, flush=True)


def serve_grpc(address, pair):
    import grpc

    def echo(request, context):
        return request

    def count(request, context):
        for number in range(3):
            yield request + str(number).encode()

    def collect(requests, context):
        return b"".join(requests)

    def talk(requests, context):
        ended = []
        context.add_callback(lambda: None if ended else say("left"))
        # A client that leaves may look like one that has said all, if only for a moment.
        for request in requests:
            if request == b"end":
                ended.append(True)
                break
            yield request

    def refuse(requests, context):
        next(requests)
        context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "enough")

    def lack(request, context):
        context.abort(grpc.StatusCode.NOT_FOUND, "not here")

    def idle(request, context):
        # Who asks has the head of the answer before its deadline.
        context.send_initial_metadata(())
        while context.is_active():
            time.sleep(0.01)
        return b""

    class Everything(grpc.GenericRpcHandler):
        def service(self, details):
            return {
                "Echo": grpc.unary_unary_rpc_method_handler(echo),
                "Count": grpc.unary_stream_rpc_method_handler(count),
                "Collect": grpc.stream_unary_rpc_method_handler(collect),
                "Talk": grpc.stream_stream_rpc_method_handler(talk),
                "Refuse": grpc.stream_unary_rpc_method_handler(refuse),
                "Lack": grpc.unary_unary_rpc_method_handler(lack),
                "Idle": grpc.unary_unary_rpc_method_handler(idle),
            }.get(details.method.rsplit("/", 1)[1])

    server = grpc.server(futures.ThreadPoolExecutor(8))
    server.add_generic_rpc_handlers((Everything(),))
    if pair:
        certificate, key = (open(name, "rb").read() for name in pair)
        server.add_secure_port(address, grpc.ssl_server_credentials([(key, certificate)]))
    else:
        server.add_insecure_port(address)
    server.start()
    server.wait_for_termination()


def serve_websocket(address, pair):
    import websockets

    async def echo(socket):
        try:
            async for message in socket:
                await socket.send(message)
        except websockets.ConnectionClosedError:
            say("left")

    async def look(path, headers):
        if path.endswith("/refused"):
            return http.HTTPStatus.FORBIDDEN, [], b"not you\n"

    async def run():
        # A health check that only connects is worth no line.
        logging.getLogger("websockets").setLevel(logging.CRITICAL)
        context = None
        if pair:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*pair)
        host, port = address.rsplit(":", 1)
        settings = dict(ssl=context, process_request=look, ping_interval=None, max_size=1 << 21)
        async with websockets.serve(echo, host, int(port), **settings):
            await asyncio.Future()

    asyncio.run(run())


{"grpc": serve_grpc, "websocket": serve_websocket}[sys.argv[1]](sys.argv[2], sys.argv[3:])
