"""An OTLP backend for tests: all signals over gRPC and HTTP, by the official generated types.

First line on standard output: {"grpc": port, "http": port}. Then one line a request:
{"protocol", "headers", "taken", "request"}. With --refuse N the first N requests are answered UNAVAILABLE or 503,
with --partial each is answered as one whose points were rejected.
"""

import argparse
import base64
import gzip
import json
import sys
import threading
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2_grpc as logs_grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2_grpc as metrics_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as traces
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as traces_grpc

# Path of a signal over HTTP -> its request and response.
MESSAGES = {
    "/v1/metrics": (metrics.ExportMetricsServiceRequest, metrics.ExportMetricsServiceResponse),
    "/v1/traces": (traces.ExportTraceServiceRequest, traces.ExportTraceServiceResponse),
    "/v1/logs": (logs.ExportLogsServiceRequest, logs.ExportLogsServiceResponse),
}


class Script:
    """What to answer, and what arrived."""

    def __init__(self, options):
        self.lock = threading.Lock()
        self.refuse = options.refuse
        self.partial = options.partial

    def receive(self, protocol, headers, request, response):
        """Prints the request; the response, or None if it is refused."""
        with self.lock:
            taken = self.refuse == 0
            self.refuse = max(0, self.refuse - 1)
            record = {
                "protocol": protocol,
                "headers": {name.lower(): value for name, value in headers if isinstance(value, str)},
                "taken": taken,
                "request": json_format.MessageToDict(request),
            }
            print(json.dumps(record), flush=True)
        if not taken:
            return None
        if self.partial:
            response.partial_success.rejected_data_points = 1
            response.partial_success.error_message = "one point is too old"
        return response


def servicer(base, response, script):
    class Servicer(base):
        def Export(self, request, context):
            answer = script.receive("grpc", context.invocation_metadata(), request, response())
            if answer is None:
                context.abort(grpc.StatusCode.UNAVAILABLE, "come back later")
            return answer

    return Servicer()


def with_ids_as_protobuf_has_them(value):
    """OTLP/JSON has ids in hex, protobuf's JSON in base64."""
    if isinstance(value, list):
        return [with_ids_as_protobuf_has_them(item) for item in value]
    if not isinstance(value, dict):
        return value
    fields = {key: with_ids_as_protobuf_has_them(field) for key, field in value.items()}
    for key in fields.keys() & {"traceId", "spanId", "parentSpanId"}:
        fields[key] = base64.b64encode(bytes.fromhex(fields[key])).decode()
    return fields


def http_handler(script):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def body(self):
            if self.headers.get("transfer-encoding") != "chunked":
                return self.rfile.read(int(self.headers["content-length"]))
            chunks = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                chunks.append(self.rfile.read(size))
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            return b"".join(chunks)

        def do_POST(self):
            body = self.body()
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            as_json = self.headers["content-type"].startswith("application/json")
            path_is_right = self.path in MESSAGES
            response = None
            if path_is_right:
                request, response = (message() for message in MESSAGES[self.path])
                if as_json:
                    json_format.ParseDict(with_ids_as_protobuf_has_them(json.loads(body)), request)
                else:
                    request.ParseFromString(body)
                protocol = "http/json" if as_json else "http/protobuf"
                response = script.receive(protocol, self.headers.items(), request, response)
            if response is None:
                answer, status, kind = b"", 503 if path_is_right else 404, "text/plain"
            elif as_json:
                answer, status, kind = json_format.MessageToJson(response).encode(), 200, "application/json"
            else:
                answer, status, kind = response.SerializeToString(), 200, "application/x-protobuf"
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            pass

    return Handler


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--refuse", type=int, default=0)
    parser.add_argument("--partial", action="store_true")
    script = Script(parser.parse_args())

    server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
    for module, name, messages in (
        (metrics_grpc, "MetricsService", "/v1/metrics"),
        (traces_grpc, "TraceService", "/v1/traces"),
        (logs_grpc, "LogsService", "/v1/logs"),
    ):
        base = getattr(module, f"{name}Servicer")
        getattr(module, f"add_{name}Servicer_to_server")(servicer(base, MESSAGES[messages][1], script), server)
    grpc_port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    web = ThreadingHTTPServer(("127.0.0.1", 0), http_handler(script))
    print(json.dumps({"grpc": grpc_port, "http": web.server_address[1]}), flush=True)
    web.serve_forever()


if __name__ == "__main__":
    sys.exit(main())
