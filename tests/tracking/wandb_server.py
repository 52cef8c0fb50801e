"""As much of W&B's server as one run needs: it keeps what it is sent, and can go silent."""

import gzip
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ENTITY = "me"
KEY = "a" * 40


class Server(ThreadingHTTPServer):
    """Runs by identifier: their configuration, summary, history lines and exit status."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.runs = {}
        self.files = []
        self.silent = threading.Event()
        self.released = threading.Event()

    def history(self, run_id):
        return [json.loads(line) for line in self.runs[run_id]["lines"]]

    def handle_error(self, request, client_address):
        pass  # of clients that were killed while they waited


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *_):
        pass

    def body(self):
        if self.server.silent.is_set():
            self.server.released.wait(60)
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Content-Encoding") == "gzip":
            content = gzip.decompress(content)
        return content

    def answer(self, value):
        content = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_PUT(self):
        self.body()
        self.server.files.append(self.path)
        self.answer({})

    def do_POST(self):
        request = json.loads(self.body())
        if self.path == "/graphql":
            operation = request["query"].split("(")[0].split("{")[0].split()[-1]
            self.answer({"data": getattr(self, operation)(request["variables"])})
        else:
            self.stream(self.path.split("/")[-2], request)
            self.answer({"exitcode": None, "limits": {}})

    def stream(self, run_id, request):
        run = self.server.runs[run_id]
        for name, piece in request.get("files", {}).items():
            if name == "wandb-history.jsonl":
                run["lines"][piece["offset"] :] = piece["content"]
            elif name == "wandb-summary.json":
                run["summary"] = piece["content"][-1]
        run["exitcode"] = request.get("exitcode", run["exitcode"])

    def RunResumeStatus(self, variables):
        run = self.server.runs.get(variables["name"])
        if run is None:
            return {"model": {"bucket": None}}
        bucket = {
            "id": "x",
            "name": variables["name"],
            "displayName": run["displayName"],
            "config": json.dumps(run["config"]),
            "summaryMetrics": run["summary"],
            "historyLineCount": len(run["lines"]),
            "eventsLineCount": 0,
            "logLineCount": 0,
            "historyTail": json.dumps(run["lines"][-1:]),
            "eventsTail": "[]",
            "tags": run["tags"],
            "wandbConfig": json.dumps({"t": 1}),  # says that the run has begun
        }
        return {"model": {"bucket": bucket}}

    def UpsertBucket(self, variables):
        fresh = {"config": {}, "lines": [], "summary": "{}", "exitcode": None, "tags": []}
        inserted = variables["name"] not in self.server.runs
        run = self.server.runs.setdefault(variables["name"], fresh)
        run["config"] |= json.loads(variables["config"] or "{}")
        for key in ("displayName", "groupName", "tags"):
            run[key] = variables.get(key) or run.get(key)
        project = {"id": "p", "name": variables["project"], "entity": {"id": "e", "name": ENTITY}}
        bucket = {
            "id": "x",
            "name": variables["name"],
            "displayName": run["displayName"],
            "description": None,
            "config": json.dumps(run["config"]),
            "sweepName": None,
            "project": project,
            "historyLineCount": len(run["lines"]),
        }
        return {"upsertBucket": {"bucket": bucket, "inserted": inserted}}

    def CreateRunFiles(self, variables):
        files = [
            {"name": name, "uploadUrl": f"{self.server.url}/upload/{name}"}
            for name in variables["files"]
        ]
        return {"createRunFiles": {"runID": "x", "uploadHeaders": [], "files": files}}


@contextmanager
def serve():
    """Run a server on a free port of this machine."""
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        thread.join()
        server.server_close()
