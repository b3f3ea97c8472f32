"""Only the cache, under models that stay as they are: LangChain's own `set_llm_cache`.

Runs offline without a key, and against OpenAI with OPENAI_API_KEY set.
"""

from langchain_core.globals import set_llm_cache
from langchain_openai import ChatOpenAI

from thrift_plugins import scope
from thrift_plugins.langchain import ResponseCache
from thrift_plugins.testing import offline_openai


def main() -> None:
    cache = ResponseCache("memory:")  # or a path, or redis://...
    set_llm_cache(cache)
    with offline_openai():
        model = ChatOpenAI(model="gpt-4o-mini", temperature=0)
        for tenant in ("acme", "acme", "globex"):
            with scope(tenant=tenant):  # no tenant is ever given another one's answer
                print(f"{tenant:6}", model.invoke("What is a tensor?").text)
    print(f"{cache.hits} hits, {cache.misses} misses")
    set_llm_cache(None)


if __name__ == "__main__":
    main()
