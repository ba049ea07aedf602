"""A provider on loopback that answers as the requested model's name says: limited, refused, broken, silent, strict."""

import http.server
import json
import threading
import time
from typing import Any, Self

ANSWERS: dict[str, tuple[int, dict[str, str], dict[str, Any]]] = {
    "limited": (429, {"retry-after": "7"}, {"error": {"message": "slow down", "type": "rate_limit", "code": "x"}}),
    "refused": (401, {}, {"error": {"message": "bad key sk-secret-of-the-platform", "type": "auth", "code": "y"}}),
    "broken": (500, {}, {"error": {"message": "boom", "type": "server", "code": "z"}}),
    "strict": (400, {}, {"error": {"message": "top_k is odd", "type": "invalid_request_error", "code": "bad_top_k"}}),
}
SILENCE_S = 2.0


class ScriptedProvider:
    """Serves in a thread until the block ends."""

    def __init__(self) -> None:
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.base_url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if body["model"] == "silent":
            time.sleep(SILENCE_S)
            self.close_connection = True
            return
        status, headers, answer = ANSWERS[body["model"]]
        payload = json.dumps(answer).encode()
        self.send_response(status)
        for name, value in {"content-type": "application/json", "content-length": str(len(payload)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base class's name
        """Say nothing."""
