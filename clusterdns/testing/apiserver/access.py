# SPDX-License-Identifier: Apache-2.0
"""Who asks, and what they may: tokens, client certificates, roles."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from clusterdns.testing.apiserver.resources import Target
from clusterdns.testing.apiserver.statuses import ApiStatus

ANONYMOUS = "system:anonymous"
EVERYBODY = "system:unsecured"
"""Who asks a server that knows no tokens and no certificates; may do everything."""


class Access:
    """Tokens and roles; without any token, and without client certificates, nobody is asked who he is.

    tokens: user by token. Change it at any time: a token that is taken out is refused with 401 from then on.
    roles: by user, the rules of a ClusterRole (apiGroups, resources, verbs). A user without an entry may do everything.
    forbidden: (verb, plural) that are refused with 403 to everybody; an empty text stands for any.
    """

    def __init__(self, tokens: Mapping[str, str] | None = None) -> None:
        self.tokens: dict[str, str] = dict(tokens or {})
        self.roles: dict[str, list[Mapping[str, Any]]] = {}
        self.forbidden: set[tuple[str, str]] = set()
        self.certificates = False
        """True where clients may come with a certificate; its common name is the user."""

    def grant(self, user: str, rules: Iterable[Mapping[str, Any]]) -> None:
        """Let the user do what these rules of a ClusterRole say, and nothing else."""
        self.roles[user] = list(rules)

    def user(self, authorization: str, certificate: Mapping[str, Any] | None) -> str:
        """Who comes with this Authorization header and certificate (as ssl.getpeercert gives it). Raises ApiStatus 401
        for a token that isn't known.
        """
        for field in (certificate or {}).get("subject", ()):
            for name, value in field:
                if name == "commonName":
                    return str(value)
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() == "bearer":
            if self.tokens and token.strip() not in self.tokens:
                raise ApiStatus(401, "Unauthorized", "Unauthorized")
            return self.tokens.get(token.strip(), EVERYBODY)
        return ANONYMOUS if self.tokens or self.certificates else EVERYBODY

    def check(self, user: str, verb: str, target: Target) -> None:
        """Raise ApiStatus 403 unless the user may do this."""
        resource = target.resource
        refused = any(
            each in self.forbidden for each in ((verb, resource.plural), ("", resource.plural), (verb, ""), ("", ""))
        )
        if not refused and user != ANONYMOUS:
            rules = self.roles.get(user)
            if rules is None or any(
                _holds(rule, "apiGroups", resource.group)
                and _holds(rule, "resources", resource.plural)
                and _holds(rule, "verbs", verb)
                for rule in rules
            ):
                return
        raise forbidden(user, verb, target)


def forbidden(user: str, verb: str, target: Target) -> ApiStatus:
    """403 in the words of a real server."""
    scope = f'in the namespace "{target.namespace}"' if target.namespace else "at the cluster scope"
    group = f".{target.resource.group}" if target.resource.group else ""
    return ApiStatus(
        403,
        "Forbidden",
        f'{target.resource.plural}{group} is forbidden: User "{user}" cannot {verb} resource '
        f'"{target.resource.plural}" in API group "{target.resource.group}" {scope}',
    )


def _holds(rule: Mapping[str, Any], key: str, value: str) -> bool:
    values = rule.get(key) or ()
    return value in values or "*" in values
