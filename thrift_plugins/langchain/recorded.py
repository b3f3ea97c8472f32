"""A recorded model as a LangChain chat model, for replays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable
from pydantic import Field

from thrift_plugins.langchain.convert import message_out
from thrift_plugins.tape import Tape


class RecordedChatModel(BaseChatModel):
    """Answers with what a model is recorded to have answered.

    Attributes:
        model_name: the model.
        tape: where its answers are.
    """

    model_name: str
    tape: Tape = Field(exclude=True, repr=False)

    @property
    def _llm_type(self) -> str:
        return "recorded"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model_name": self.model_name}

    def bind_tools(
        self, tools: Sequence[Any], *, tool_choice: Any = None, **kwargs: Any
    ) -> Runnable[LanguageModelInput, AIMessage]:
        return self.bind(tools=tools, **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        reply = self.tape.play(self.model_name, lambda: "\n".join(message.text for message in messages))
        message = message_out(reply)
        used = reply.usage
        message.usage_metadata = {
            "input_tokens": used.input_tokens,
            "output_tokens": used.output_tokens,
            "total_tokens": used.input_tokens + used.output_tokens,
            "input_token_details": {"cache_read": used.cache_read},
        }
        message.response_metadata = {"finish_reason": reply.finish_reason, "model_name": self.model_name}
        return ChatResult(generations=[ChatGeneration(message=message)])
