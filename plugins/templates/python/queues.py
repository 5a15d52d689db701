"""The receiver `queues`: asks an HTTP API for the length of each queue.

The document is a list such as `[{"name": "mail", "length": 3}]`; a length of null is one that is not known now.
"""

import json

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.poller import Data_Metrics, Page, Progress
from wit_world.imports import http
from wit_world.imports.types import (
    Attribute,
    Kind,
    Metric,
    Number_Integer,
    Number_Unknown,
    Point,
    ResourceMetrics,
    Value_Text,
)

config = {}


class Poller(exports.Poller):
    def start(self, text):
        config.update(json.loads(text) or {})
        if not isinstance(config.get("url"), str):
            # What is raised as Err is told in the log; anything else that is raised ends the instance.
            raise Err("config: expected `url`, where the document is")

    def poll(self, tick):
        metrics = [lengths(get(config["url"]))]
        return Page([Data_Metrics([ResourceMetrics([], metrics)])], Progress.COMPLETE)


def get(url):
    try:
        response = http.send(http.Request("GET", url, [], b""))
    except Err as error:
        raise Err(f"{url}: {error.value}")
    if response.status != 200:
        raise Err(f"{url} answers {response.status}")
    return response.body


def lengths(document):
    """One point for each queue. A point with the time 0 gets that of the tick."""
    try:
        points = [point(queue["name"], queue["length"]) for queue in json.loads(document)]
    except (ValueError, KeyError, TypeError) as error:
        raise Err(f"the document: {error!r}")
    return Metric("queue.length", "{message}", "Messages that wait.", Kind.GAUGE, points)


def point(queue, length):
    # Not known now: the series goes on with its last value.
    value = Number_Unknown() if length is None else Number_Integer(length)
    return Point([Attribute("queue", Value_Text(queue))], value, 0, 0)
