"""What one setting is made of: its type, its unit, its range, and the base of all sections."""

import math
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.config import JsonDict
from pydantic_core import PydanticCustomError

from dedup_model.text_rules import category_key, plain_text


def _whole(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        raise PydanticCustomError("finite_number", "Input should be a finite number")
    return int(value) if isinstance(value, float) and value.is_integer() else value


Number = Annotated[float, AfterValidator(lambda value: value + 0.0)]
"""A finite float; -0.0 is stored as 0.0."""
Whole = Annotated[int, BeforeValidator(_whole)]
"""An integer; 5.0 counts as 5, 5.5 is refused."""
Text = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(plain_text)]
"""Up to 200 characters without control characters and without anything that looks like a secret."""
CategoryKey = Annotated[str, AfterValidator(category_key)]
"""A folded category name, `[a-z0-9_]+`, at most 64 characters."""


class Section(BaseModel):
    """Base of every node of the tree: frozen, strict, finite, silent about its input."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, hide_input_in_errors=True
    )


def setting(default: Any, meaning: str, unit: str, low: float | None, high: float | None) -> Any:
    """Declare one numeric setting with its default, meaning, unit and inclusive range."""
    extra: JsonDict = {"unit": unit}
    return Field(default=default, description=meaning, ge=low, le=high, json_schema_extra=extra)


def weight(default: float | None, meaning: str) -> Any:
    """Declare a weight: relative, 0 to 10."""
    return setting(default, meaning, "weight", 0, 10)


def score(default: float, meaning: str) -> Any:
    """Declare a similarity or a factor between 0 and 1."""
    return setting(default, meaning, "score", 0, 1)
