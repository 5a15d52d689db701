"""Lints what cannot be run here by the schemas of those who would run it.

    lint_deploy.py ecs FILE           botocore's model of RegisterTaskDefinition
    lint_deploy.py iam FILE           the shape of a policy document
    lint_deploy.py kubernetes FILE    the OpenAPI schemas of Kubernetes, unknown keys refused
    lint_deploy.py compose FILE       the Compose specification, unknown keys refused

Exit code 0 if nothing is wrong; else 1, with what is on standard error.
"""

import json
import sys

import yaml

KUBERNETES = "1.34"


def ecs(text):
    import botocore.session
    from botocore.validate import ParamValidator

    model = botocore.session.get_session().get_service_model("ecs").operation_model("RegisterTaskDefinition")
    yield from ParamValidator().validate(json.loads(text), model.input_shape).generate_report().splitlines()


def iam(text):
    policy = json.loads(text)
    if policy.get("Version") != "2012-10-17":
        yield "Version is not 2012-10-17"
    for at, statement in enumerate(policy["Statement"]):
        wrong = statement.keys() - {"Sid", "Effect", "Action", "Resource", "Condition"}
        missing = {"Effect", "Action", "Resource"} - statement.keys()
        if wrong or missing or statement.get("Effect") not in ("Allow", "Deny"):
            yield f"statement {at}: unknown {sorted(wrong)}, missing {sorted(missing)}"
        if "*" in (statement.get("Resource"), statement.get("Action")):
            yield f"statement {at}: everything is allowed"


def kubernetes(text):
    import kubernetes_validate

    for document in yaml.safe_load_all(text):
        try:
            kubernetes_validate.validate(document, KUBERNETES, strict=True)
        except kubernetes_validate.ValidationError as error:
            yield f"{document.get('kind')} {'.'.join(map(str, error.absolute_path))}: {error.message}"


def compose(text):
    import compose_spec

    try:
        compose_spec.ComposeSpecification.model_validate(yaml.safe_load(text), extra="forbid")
    except ValueError as error:
        yield str(error)


def main():
    kind, path = sys.argv[1:]
    lint = {"ecs": ecs, "iam": iam, "kubernetes": kubernetes, "compose": compose}[kind]
    with open(path, encoding="utf-8") as file:
        problems = list(lint(file.read()))
    print(*problems, sep="\n", end="", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
