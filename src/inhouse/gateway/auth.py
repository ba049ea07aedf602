"""Who calls: bearer token → key of the snapshot. Holds keyed hashes and a bounded cache of tokens, logs neither."""

from __future__ import annotations

import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Mapping, Sequence

from inhouse.domain import ApiKey, ErrorCode, RequestError

ANONYMOUS = ApiKey(key_id="anonymous", key_hash="")
"""Who calls where no keys are configured."""
_MAX_CACHED = 4096
_HOW = "Send it as 'Authorization: Bearer KEY'."


def hash_token(pepper: bytes, token: str) -> str:
    """Hex HMAC-SHA256 of a token, as `ApiKey.key_hash` holds it."""
    return hmac.new(pepper, token.encode(), hashlib.sha256).hexdigest()


class Authenticator:
    """Finds the key of a token. One for each snapshot, so that a swap drops the cache.

    Args:
        keys: the snapshot's keys.
        pepper: the installation's secret.
        is_open: whether requests need no key (then only an eval key's token is looked at).
    """

    def __init__(self, keys: Sequence[ApiKey], pepper: bytes, *, is_open: bool) -> None:
        self._keys = {key.key_hash: key for key in keys}
        self._pepper = pepper
        self._is_open = is_open
        self._cache: OrderedDict[bytes, ApiKey | None] = OrderedDict()

    def identify(self, authorization: bytes | None) -> ApiKey:
        """The key that an `authorization` header names.

        Raises:
            RequestError: 401 `missing_api_key` or `invalid_api_key`.
        """
        key = None if authorization is None else self._look_up(authorization)
        if self._is_open:
            return key if key is not None and key.is_eval else ANONYMOUS
        if authorization is None:
            raise RequestError(401, ErrorCode.MISSING_API_KEY, f"This gateway needs an API key. {_HOW}")
        if key is None:
            raise RequestError(401, ErrorCode.INVALID_API_KEY, f"The API key is not known here. {_HOW}")
        return key

    def identify_caller(self, headers: Mapping[bytes, bytes]) -> ApiKey:
        """The key that a request shows, in `authorization`, or in `x-api-key` as Anthropic's SDKs do.

        Raises:
            RequestError: as `identify`.
        """
        shown = headers.get(b"authorization")
        if shown is None and b"x-api-key" in headers:
            shown = b"Bearer " + headers[b"x-api-key"]
        return self.identify(shown)

    def name_caller(self, shown: bytes | None) -> str:
        """A name for a caller whose key is not ours: part of a keyed hash, so that equal keys have equal names."""
        if shown is None:
            return "caller-none"
        return f"caller-{hmac.new(self._pepper, shown, hashlib.sha256).hexdigest()[:12]}"

    def _look_up(self, authorization: bytes) -> ApiKey | None:
        """The cache is asked with the full header value, never with a part or a hash of it."""
        cache = self._cache
        if authorization in cache:
            cache.move_to_end(authorization)
            return cache[authorization]
        key = self._verify(authorization)
        cache[authorization] = key
        if len(cache) > _MAX_CACHED:
            cache.popitem(last=False)
        return key

    def _verify(self, authorization: bytes) -> ApiKey | None:
        scheme, _, token = authorization.decode("latin-1").partition(" ")
        if scheme.lower() != "bearer":
            return None
        token_hash = hash_token(self._pepper, token.strip())
        key = self._keys.get(token_hash)
        return key if key is not None and hmac.compare_digest(key.key_hash, token_hash) else None
