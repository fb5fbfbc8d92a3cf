"""A loopback server that plays a model hub, for the real huggingface_hub: repositories of small files."""

import base64
import hashlib
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

from loopback import serving

GITATTRIBUTES = (
    b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n"  # every repository begins with such a file
)


class HubServer(ThreadingHTTPServer):
    """`repositories` holds the files of each by path; `cards` the model cards that were sent to be checked."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.repositories, self.cards = {}, []


def _commit(files):
    return hashlib.sha1(
        b"".join(name.encode() + content for name, content in sorted(files.items()))
    ).hexdigest()


def _blob(content):
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        match unquote(urlsplit(self.path).path).strip("/").split("/"):
            case ["api", "repos", "create"]:
                asked = json.loads(body)
                name = f"{asked['organization']}/{asked['name']}"
                self.server.repositories[name] = {".gitattributes": GITATTRIBUTES}
                self._json({"url": f"{self.server.url}/{name}"})
            case ["api", "validate-yaml"]:
                self.server.cards.append(json.loads(body)["content"])
                self._json({"errors": [], "warnings": []})
            case ["api", "models", _, _, "preupload", "main"]:
                files = json.loads(body)["files"]
                self._json(
                    {
                        "files": [
                            {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in files
                        ]
                    }
                )
            case ["api", "models", user, name, "commit", "main"]:
                files = self.server.repositories[f"{user}/{name}"]
                for line in body.splitlines():
                    entry = json.loads(line)
                    if entry["key"] == "file":
                        files[entry["value"]["path"]] = base64.b64decode(entry["value"]["content"])
                self._json({"commitUrl": f"{self.server.url}/{user}/{name}", "commitOid": _commit(files)})
            case _:
                self._answer(404)

    def do_GET(self):
        match unquote(urlsplit(self.path).path).strip("/").split("/"):
            case ["api", "models", user, name, "revision", "main"]:
                files = self.server.repositories[f"{user}/{name}"]
                siblings = [{"rfilename": path} for path in files]
                self._json({"id": f"{user}/{name}", "sha": _commit(files), "siblings": siblings})
            case ["api", "models", user, name, "tree", _]:
                files = self.server.repositories[f"{user}/{name}"]
                self._json(
                    [
                        {"type": "file", "path": path, "size": len(content), "oid": _blob(content)}
                        for path, content in files.items()
                    ]
                )
            case [user, name, "resolve", _, path]:
                files = self.server.repositories[f"{user}/{name}"]
                content = files[path]
                self._answer(200, content, {"ETag": f'"{_blob(content)}"', "X-Repo-Commit": _commit(files)})
            case _:
                self._answer(404)

    do_HEAD = do_GET

    def _json(self, value):
        self._answer(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _answer(self, status, content=b"", headers=()):
        self.send_response(status)
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


def serve():
    return serving(HubServer())
