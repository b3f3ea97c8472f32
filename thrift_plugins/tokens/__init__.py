"""How many tokens is a text, a prompt, or an answer? Three answers: a quick estimate, an upper bound, a true count.

A count is exact for OpenAI's current encodings, without a network: llama-index-core ships their files. For every other
model it is the estimate. Nothing here raises on any text: special tokens count as the plain text that they are,
and a lone surrogate as the replacement character that would be sent for it.

What a prompt counts is OpenAI's published formula; with t(x) the tokens of a text:

* each message: 3 + 1 for the role, + t(name) + 1 where it has one, and t(content), or for content in blocks the sum of t(text)
  over those with text, for each image whose size can be read what the model's own rule says, and 85 for each other one
  (the base price of an image);
* each tool call in it: 3 + t(name) + t(arguments), in compact JSON;
* once: 3, which prime the answer;
* tools: 12 once, and for each 7 (10 with `cl100k_base`) + t("name:description"); if it has properties 3 more, and for
  each of these 3 + t("name:type:description"), and for an enum -3 and 3 + t(item) an item. One dot at the end of a
  description is dropped; what is missing or no string is empty;
* a schema: t of its compact JSON.

Against providers this is within a few per cent for OpenAI's chat models and too low for others with tools (Claude adds
hundreds of tokens of its own); the usage that comes back is the truth.
"""

from thrift_plugins.tokens.approx import bound, estimate
from thrift_plugins.tokens.bounds import Bounds
from thrift_plugins.tokens.prompts import compact, count_messages, count_reply
from thrift_plugins.tokens.vocabulary import Measure, count, exact

__all__ = ["Bounds", "Measure", "bound", "compact", "count", "count_messages", "count_reply", "estimate", "exact"]
