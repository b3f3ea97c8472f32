"""Values made smaller where that pays. Chosen by measuring 1.3 kB answers: half as large, 3 us to open, 9 us to make."""

from __future__ import annotations

import threading
from typing import Final

from zstandard import (
    DICT_TYPE_RAWCONTENT,
    FORMAT_ZSTD1_MAGICLESS,
    ZstdCompressionDict,
    ZstdCompressionParameters,
    ZstdCompressor,
    ZstdDecompressor,
    ZstdError,
)

LARGEST: Final = 64 * 1024 * 1024
"""Bytes of the largest value that is compressed, and so of the largest that compressed bytes may claim to hold."""

_WORTH_TRYING = 200
_LEVEL = 1
_SIZE_BYTES = 4

# What most answers share, the likeliest at the end. Part of the format: a word changed here makes compressed values
# unreadable, so it changes with the envelope's version alone.
_WORDS: Final = (
    "\u3002\u8bf7\u6ce8\u610f\uff0c\u5982\u679c\u60a8\u8fd8\u6709\u5176\u4ed6\u95ee\u9898\uff0c\u8bf7\u968f\u65f6\u544a\u8bc9\u6211\u3002"
    "\u4ee5\u4e0b\u662f\u4e00\u4e9b\u6b65\u9aa4\uff1a\u9996\u5148\uff0c\u5176\u6b21\uff0c\u6700\u540e\uff0c\u56e0\u6b64\u6211\u4eec\u53ef\u4ee5\u3002"
    " cannot would should because however therefore between through which there their other about information within under after"
    ' before during different several important available following "arguments":{"query":"","location":"","name":"","id":"","type":"'
    ' ```python\\n\\nimport def return self None True False\\n    if for in range(\\n```\\n ```json\\n{\\n  "\\n}\\n``` | --- | --- |\\n| '
    " https://www. For example, such as In addition, On the other hand, it depends on the most common way to make sure that you have"
    " been able to use the number of at least one of the more than If you are not sure, please contact support. I don't have access to"
    " I'm sorry, but I can't help with that. Sure! Certainly! Here is a Here are some steps you can follow: Based on the context"
    " provided, the answer is To calculate the total, we need to find the Let me know if you need anything else or have any other"
    " questions!\\n\\n1. **\\n\\n2. **\\n\\n3. **\\n\\n### \\n\\n- **: The This is a It is and the of the in the to the for the with a that"
    " can be used as well as by the from the\\n\\n## Step 1: \\n   - Therefore, the final answer is \\\\boxed{"
    '"x":{"finish_reason":"length","logprobs":null,"service_tier":"default","system_fingerprint":"fp_","refusal":null,"model_provider":"openai"}'
    '"m":"claude-sonnet-4-"m":"gemini-2.5-flash"m":"gpt-4o-mini-2024-07-18","n":"","t":[["call_","f":"tool_calls"}"f":"stop"}'
    ',0,0,0,0,0,0,"provider"],"m":"gpt-{"v":2,"a":1,"e":1,"c":"The '
).encode()


class Compressor:
    """Makes values small and large again. Thread-safe: zstandard's own objects are not, so each thread has its pair."""

    def __init__(self) -> None:
        words = ZstdCompressionDict(_WORDS, dict_type=DICT_TYPE_RAWCONTENT)
        words.precompute_compress(level=_LEVEL)
        self._words = words
        self._own = threading.local()

    def smaller(self, data: bytes) -> bytes | None:
        """The same in fewer bytes, or None where it would not be a tenth smaller."""
        if not _WORTH_TRYING <= len(data) <= LARGEST:
            return None
        small = self._pair()[0].compress(data)
        return len(data).to_bytes(_SIZE_BYTES, "big") + small if len(small) <= 0.9 * len(data) else None

    def original(self, small: bytes) -> bytes | None:
        """What `smaller` was given, or None for other bytes, and for those that claim to hold more than `LARGEST`."""
        size = int.from_bytes(small[:_SIZE_BYTES], "big")
        if size > LARGEST:
            return None
        try:
            return self._pair()[1].decompress(small[_SIZE_BYTES:], max_output_size=size)
        except (ZstdError, MemoryError):
            return None

    def _pair(self) -> tuple[ZstdCompressor, ZstdDecompressor]:
        try:
            pair: tuple[ZstdCompressor, ZstdDecompressor] = self._own.pair
        except AttributeError:
            shape = ZstdCompressionParameters.from_level(
                _LEVEL, format=FORMAT_ZSTD1_MAGICLESS, write_content_size=0, write_checksum=0, write_dict_id=0
            )
            pair = self._own.pair = (
                ZstdCompressor(dict_data=self._words, compression_params=shape),
                ZstdDecompressor(dict_data=self._words, format=FORMAT_ZSTD1_MAGICLESS),
            )
        return pair
