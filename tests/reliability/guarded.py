"""Services with more variables than the usual ones: principals, a key ring in a file."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from reliability.harness import Service, service

from dedup_rpc.authz import ROLES, new_token, token_digest

LATER, EARLIER = "2099-01-01T00:00:00Z", "2020-01-01T00:00:00Z"
Metadata = list[tuple[str, str]]


class Told(Service):
    """A service that is told more by its environment."""

    more: dict[str, str]

    def _variables(self) -> dict[str, str]:
        return super()._variables() | self.more


@contextmanager
def told(**more: str) -> Iterator[Told]:
    """Make a service with more variables that is not started yet; ends its process at the end."""
    with service() as usual:
        made = Told(usual.folder, usual.env)
        made.more = more
        try:
            yield made
        finally:
            made.kill()


@dataclass
class Principals:
    """An `authz.yaml` with one principal for each role, an expired one, and a second editor."""

    file: Path
    tokens: dict[str, str] = field(default_factory=dict)

    def write(self) -> None:
        """Write the file."""
        entries = [self._entry(role, role, LATER) for role in (*ROLES,)]
        entries += [self._entry("late", "admin", EARLIER), self._entry("second", "editor", LATER)]
        self.file.write_text("principals:\n" + "".join(entries))

    def _entry(self, name: str, role: str, expires: str) -> str:
        token = self.tokens.setdefault(name, new_token())
        return (
            f"  - name: {name}\n    roles: [{role}]\n"
            f"    tokens: [{{sha256: '{token_digest(token)}', expires: '{expires}'}}]\n"
        )

    def of(self, name: str) -> Metadata:
        """Return what a call of a principal shows."""
        return [("authorization", f"Bearer {self.tokens[name]}")]


@contextmanager
def guarded() -> Iterator[tuple[Service, Principals]]:
    """Make a running service with principals."""
    with told() as made:
        principals = Principals(made.folder / "authz.yaml")
        principals.write()
        made.more = {"CONFIG_AUTHZ_FILE": str(principals.file)}
        made.start()
        yield made, principals
