"""Which roles may call which RPC of MatcherService; what is not here is denied."""

from dedup_rpc.authz import Grants
from dedup_rpc.server import REFLECTION

SERVICE = "eventdedup.matcher.v1.MatcherService"
CALLERS = frozenset(("caller", "operator"))

GRANTS = Grants(
    {
        f"/{SERVICE}/Deduplicate": CALLERS,
        f"/{SERVICE}/DeduplicateBatch": CALLERS,
        f"/{SERVICE}/ExplainPair": CALLERS,
        f"/{SERVICE}/ExplainCluster": CALLERS,
        f"/{SERVICE}/PreviewConfig": CALLERS,
        REFLECTION: CALLERS,
    }
)
