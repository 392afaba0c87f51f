"""The keys of the proxy and their limits; the proxy calls this."""

from fastapi import Request
from litellm.proxy._types import ProxyException, UserAPIKeyAuth

LIMITS: dict[str, dict[str, int]] = {
    "sk-unlimited": {},
    "sk-four-slots": {"max_parallel_requests": 4},
    "sk-forty-a-minute": {"rpm_limit": 40},
}


async def check(request: Request, api_key: str) -> UserAPIKeyAuth:
    """Return the limits of a key, or refuse it."""
    if api_key not in LIMITS:
        raise ProxyException(message="Authentication Error, unknown key", type="auth_error", param="key", code=401)
    return UserAPIKeyAuth(api_key=api_key, **LIMITS[api_key])
