"""The answer that is asked of the model, and its strict reading."""

from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "verdict": {"type": "string", "enum": ["same", "different", "unsure"]},
        "confidence": {"type": "number", "minimum": 0, "maximum": 1},
        "reason": {"type": "string"},
    },
    "required": ["verdict", "confidence", "reason"],
}
"""JSON schema of an answer, as the model receives it."""


class Answer(BaseModel):
    """One verdict on one pair; `confidence` is 0 to 1 by the model's own account."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, hide_input_in_errors=True
    )

    verdict: Literal["same", "different", "unsure"]
    confidence: float = Field(ge=0, le=1)
    reason: str = Field(max_length=2000)


def parsed(text: str) -> Answer | None:
    """Return the answer in a model's text; None for anything that is not exactly one."""
    try:
        return Answer.model_validate_json(text)
    except ValidationError:
        return None
