# SPDX-License-Identifier: Apache-2.0
"""A plain HTTP client for the API server of the tests: one connection for each request, bodies as they come."""

import http.client
import json
import ssl
from urllib.parse import urlencode, urlsplit

SECONDS = 5.0


class Answer:
    """An answer whose body is read by the test."""

    def __init__(self, connection, response):
        self._connection = connection
        self._response = response
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}

    def body(self):
        """All of it. Raises http.client.IncompleteRead for one whose end is missing."""
        with self:
            return self._response.read()

    def json(self):
        return json.loads(self.body())

    def event(self, seconds=SECONDS):
        """The next event of a watch, None at the end of the stream. Raises TimeoutError for silence."""
        self._connection.sock.settimeout(seconds)
        line = self._response.readline()
        return json.loads(line) if line else None

    def until_bookmark(self):
        """Events up to the next bookmark, which is the last."""
        found = [self.event()]
        while found[-1]["type"] != "BOOKMARK":
            found.append(self.event())
        return found

    def close(self):
        self._response.close()
        self._connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def ask(server, path, *, method="GET", body=None, headers=(), tls=None, seconds=SECONDS, **query):
    """Ask and return when the header of the answer is there; ``query`` are its parameters."""
    parts = urlsplit(server.url)
    if parts.scheme == "https":
        context = tls or ssl._create_unverified_context()
        connection = http.client.HTTPSConnection(parts.netloc, timeout=seconds, context=context)
    else:
        connection = http.client.HTTPConnection(parts.netloc, timeout=seconds)
    try:
        data = json.dumps(body) if isinstance(body, dict | list) else body
        connection.request(method, f"{path}?{urlencode(query)}" if query else path, data, dict(headers))
        return Answer(connection, connection.getresponse())
    except BaseException:
        connection.close()
        raise


def status(server, path, **options):
    """The status of the answer."""
    with ask(server, path, **options) as answer:
        return answer.status


def watch(server, path, **query):
    """An open watch."""
    answer = ask(server, path, watch="true", **query)
    assert answer.status == 200
    return answer


def names(items):
    """Names of objects, or of the objects of events."""
    return [(item.get("object") or item)["metadata"]["name"] for item in items]
