"""Starts MiniStack, with what AWS does and its 1.5.33 does not. What is deployed stays what it is."""

import json
import socketserver
import sys
from email.utils import parseaddr

from ministack.core import iam_actions
from ministack.services import cloudformation
from ministack.services.cloudformation import changesets, engine, handlers, provisioners, stacks  # noqa: F401

# Answers are small and must not wait for more to send.
socketserver.StreamRequestHandler.disable_nagle_algorithm = True

# Nested templates are transformed as well. The modules imported above keep the function they bound: what they parse
# they transform themselves.
parse = engine._parse_template
engine._parse_template = lambda *args, **kwargs: engine._apply_transforms(parse(*args, **kwargs))

# What an update of a nested stack leaves as it is keeps its attributes.
update = provisioners._update_resource


def update_resource(kind, physical, old, new, stack, logical=None, attributes=None):
    known = cloudformation._stacks.get(stack, {}).get("_resources", {}).get(logical, {}).get("Attributes")
    return update(kind, physical, old, new, stack, logical, attributes or known)


provisioners._update_resource = update_resource

# Public addresses and NAT gateways exist by name; there is no network behind them.
for kind, name, attributes in [
    ("AWS::EC2::EIP", "203.0.113.1", {"AllocationId": "eipalloc-0123456789abcdef0"}),
    ("AWS::EC2::NatGateway", "nat-0123456789abcdef0", {}),
]:
    provisioners._RESOURCE_HANDLERS[kind] = {
        "create": lambda *args, made=(name, attributes): made,
        "delete": lambda *args, **kwargs: None,
    }

# Whether a letter may be sent is asked of its sender's identity.
ses_resource = iam_actions._ses_v2_resource_arn


def sender_identity(method, path, body, region, account):
    if (method, path.rstrip("/")) != ("POST", "/v2/email/outbound-emails"):
        return ses_resource(method, path, body, region, account)
    sender = parseaddr(json.loads(body).get("FromEmailAddress", ""))[1]
    return f"arn:aws:ses:{region}:{account}:identity/{sender}"


iam_actions._ses_v2_resource_arn = sender_identity

from ministack.app import main  # noqa: E402

sys.exit(main())
