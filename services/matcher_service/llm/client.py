"""One question to the model over the official SDK; its only importer."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from dedup_model.ai_settings import Ai
from matcher_service.llm.answer import SCHEMA, Answer, parsed
from matcher_service.llm.prompt import INSTRUCTION
from matcher_service.llm.usage import Tokens

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 20.0
MOST_CALLS: Final = 4
"""Calls for one question: a service that is not there does not hold the batch up for long."""
RETRIED: Final = frozenset({"rate_limited", "unavailable", "timeout"})
_BLOCKED: Final = frozenset(
    {"SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "LANGUAGE", "MODEL_ARMOR"}
)


@dataclass(frozen=True, slots=True)
class Reply:
    """What one call gave: an answer, or the kind of its failure; and its tokens.

    Failures: `refused` (the model or its filters declined), `truncated`, `malformed`, `timeout`,
    `rate_limited`, `unavailable`, `key_refused`, `request_refused`. `pause` is how many seconds
    the service asked to wait.
    """

    answer: Answer | None = None
    failure: str = ""
    tokens: Tokens = field(default_factory=Tokens)
    pause: float | None = None


class MissingSdk(Exception):
    """The extra `ai` is not installed."""


class Model:
    """The model of one batch: its key, its address, its settings."""

    def __init__(self, sdk: Any, client: Any, ai: Ai) -> None:
        self._sdk, self._client, self._ai = sdk, client, ai

    async def ask(self, text: str, again: Callable[[], bool]) -> tuple[Reply, int, bool]:
        """Ask until there is an answer, an end to retrying, `MOST_CALLS`, or `ai.timeout_seconds` are over.

        Returns the last reply, how many calls were made and whether one of them was given up
        while it ran. `again` is asked before each repeat.
        """
        loop = asyncio.get_running_loop()
        ends = loop.time() + self._ai.timeout_seconds
        calls, abandoned = 0, False
        while True:
            reply = await self._once(text, max(ends - loop.time(), 0.001))
            calls += 1
            abandoned |= reply.failure == "timeout"
            pause = _pause(calls, reply)
            over = calls == MOST_CALLS or loop.time() + pause >= ends
            if reply.failure not in RETRIED or over or not again():
                return reply, calls, abandoned
            await asyncio.sleep(pause)

    async def _once(self, text: str, seconds: float) -> Reply:
        try:
            async with asyncio.timeout(seconds):
                response = await self._client.aio.models.generate_content(
                    model=self._ai.model, contents=text, config=self._config()
                )
            return _reply(response)
        except Exception as error:  # the transport's classes depend on what the SDK finds installed
            return self._failure(error)

    def _config(self) -> Any:
        types, ai = self._sdk.types, self._ai
        thinking = (
            types.ThinkingConfig(thinking_budget=ai.thinking_budget)
            if ai.thinking_budget >= 0
            else None
        )
        return types.GenerateContentConfig(
            system_instruction=INSTRUCTION,
            temperature=ai.temperature,
            max_output_tokens=ai.max_output_tokens,
            candidate_count=1,
            response_mime_type="application/json",
            response_json_schema=SCHEMA,
            thinking_config=thinking,
        )

    def _failure(self, error: Exception) -> Reply:
        if isinstance(error, self._sdk.errors.APIError):
            return Reply(failure=_kind(error), pause=_retry_after(error))
        if isinstance(error, TimeoutError) or "Timeout" in type(error).__name__:
            return Reply(failure="timeout")
        return Reply(failure="malformed" if isinstance(error, ValueError) else "unavailable")


@asynccontextmanager
async def model(key: str, base_url: str | None, ai: Ai) -> AsyncIterator[Model]:
    """Yield the model under a key; raises `MissingSdk`.

    The SDK's own retries are off: they know neither the budget nor the deadline.
    """
    sdk = await asyncio.to_thread(_sdk)
    http = sdk.types.HttpOptions(
        base_url=base_url, retry_options=sdk.types.HttpRetryOptions(attempts=1)
    )
    client = await asyncio.to_thread(sdk.Client, api_key=key, http_options=http, vertexai=False)
    try:
        yield Model(sdk, client, ai)
    finally:
        await client.aio.aclose()
        client.close()


def _sdk() -> Any:
    try:
        from google import genai
    except ImportError:
        raise MissingSdk from None
    return genai


def _reply(response: Any) -> Reply:
    tokens = _tokens(response.usage_metadata)
    candidate = response.candidates[0] if response.candidates else None
    reason = candidate.finish_reason.name if candidate and candidate.finish_reason else ""
    if candidate is None or reason in _BLOCKED:
        return Reply(failure="refused", tokens=tokens)
    if reason == "MAX_TOKENS":
        return Reply(failure="truncated", tokens=tokens)
    answer = parsed(_text(candidate)) if reason == "STOP" else None
    return Reply(answer, "" if answer else "malformed", tokens)


def _text(candidate: Any) -> str:
    parts = (candidate.content and candidate.content.parts) or []
    return "".join(part.text for part in parts if part.text and not part.thought)


def _tokens(usage: Any) -> Tokens:
    if usage is None:
        return Tokens()
    return Tokens(
        input=(usage.prompt_token_count or 0) + (usage.tool_use_prompt_token_count or 0),
        output=usage.candidates_token_count or 0,
        thinking=usage.thoughts_token_count or 0,
        cached=usage.cached_content_token_count or 0,
    )


def _kind(error: Any) -> str:
    if error.code == 429:
        return "rate_limited"
    if error.code in (408, 504):
        return "timeout"
    if error.code >= 500:
        return "unavailable"
    # a wrong key is answered with 400 and this reason
    wrong_key = error.code in (401, 403) or "API_KEY_INVALID" in str(error.details)
    return "key_refused" if wrong_key else "request_refused"


def _retry_after(error: Any) -> float | None:
    text = str(getattr(error.response, "headers", {}).get("retry-after", ""))
    return float(text) if text.isdecimal() else None


def _pause(calls: int, reply: Reply) -> float:
    """Return the seconds to wait: what the service asked for, else backoff; with jitter."""
    backoff: float = min(FIRST_PAUSE * 2.0 ** (calls - 1), LONGEST_PAUSE)
    return (reply.pause or backoff * 0.5) + random.random() * backoff * 0.5
