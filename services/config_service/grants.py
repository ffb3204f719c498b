"""Which roles may call which RPC of ConfigService; what is not here is denied."""

from dedup_rpc.authz import Grants
from dedup_rpc.server import REFLECTION

SERVICE = "eventdedup.config.v1.ConfigService"

_ROLES = {
    "GetConfig": "reader editor auditor admin",
    "ListRevisions": "reader editor auditor admin",
    "DiffRevisions": "reader editor auditor admin",
    "GetSnapshot": "reader editor matcher admin",
    "WatchConfig": "reader editor matcher admin",
    "UpdateConfig": "editor admin",
    "RollbackConfig": "editor admin",
    "SetSecret": "admin",
    "ClearSecret": "admin",
    "AccessSecret": "matcher",
}

GRANTS = Grants(
    {f"/{SERVICE}/{method}": frozenset(roles.split()) for method, roles in _ROLES.items()}
    | {REFLECTION: frozenset(("reader", "editor", "auditor", "admin"))}
)
