"""Which roles may call which RPC of ConfigService; what is not here is denied."""

from dedup_rpc.authz import Grants
from dedup_rpc.server import REFLECTION

SERVICE = "eventdedup.config.v1.ConfigService"
ADMIN = "eventdedup.config.v1.ConfigAdminService"

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
    "ReportStatus": "matcher",
    "ListClients": "reader editor auditor admin",
}
_ADMIN_ROLES = {
    "GetKeyringStatus": "auditor admin",
    "Rewrap": "admin",
    "ListAuditEvents": "auditor admin",
    "VerifyAudit": "auditor admin",
    "ExportConfig": "reader editor auditor admin",
    "ImportConfig": "editor admin",
}

GRANTS = Grants(
    {f"/{SERVICE}/{method}": frozenset(roles.split()) for method, roles in _ROLES.items()}
    | {f"/{ADMIN}/{method}": frozenset(roles.split()) for method, roles in _ADMIN_ROLES.items()}
    | {REFLECTION: frozenset(("reader", "editor", "auditor", "admin"))}
)
