"""The processor `classify`: says of each queue whether it is critical, and drops those that are of no interest."""

import json

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.metrics_processor import AttributeChange, Change_Drop, Change_SetAttribute, Outcome
from wit_world.imports.types import Value_Boolean, Value_Text

critical = set()
ignore = set()


class MetricsProcessor(exports.MetricsProcessor):
    def start(self, text):
        config = json.loads(text) or {}
        if not isinstance(config, dict):
            # What is raised as Err is told in the log; anything else that is raised ends the instance.
            raise Err("config: expected `critical` and `ignore`")
        critical.update(config.get("critical", []))
        ignore.update(config.get("ignore", []))

    def process(self, batch):
        # What is not mentioned here passes as it came.
        changes = [change(place, queue(point)) for place, point in enumerate(batch.points)]
        return Outcome([change for change in changes if change], [])


def queue(point):
    for attribute in point.attributes:
        if attribute.key == "queue" and isinstance(attribute.value, Value_Text):
            return attribute.value.value
    return None


def change(place, name):
    if name is None:
        return None
    if name in ignore:
        return Change_Drop(place)
    return Change_SetAttribute(AttributeChange(place, "critical", Value_Boolean(name in critical)))
