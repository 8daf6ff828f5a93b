"""The settings file that ``callgate init`` writes."""

from __future__ import annotations


def starter() -> str:
    """Return a commented settings file that is valid, and safe, as it stands."""
    return STARTER


STARTER = """\
# The settings of callgate. Every setting: docs/settings.md; a mistake is told with its line.

[gate]
store = "sqlite:callgate.db"          # everything durable; relative to this file

# Who serves models. The key stays where it is; here is only its place: env:NAME or file:PATH.
[providers.openai]
api = "openai"
key = "env:OPENAI_API_KEY"

[providers.anthropic]
api = "anthropic"
key = "env:ANTHROPIC_API_KEY"

# [providers.local]                   # a server that speaks OpenAI's API, such as vllm or ollama
# api = "openai"
# base_url = "http://127.0.0.1:8000/v1"

# Names that agents ask for: the first choice, then the fallbacks, of any api.
[models.smart]
use = ["openai:gpt-5.5"]

[models.fast]
use = ["openai:gpt-5.4-mini"]

[models.careful]
use = ["anthropic:claude-sonnet-5"]

# Who may use what: nothing is allowed that is not named.
[agents.default]
models = ["smart", "fast", "careful"] # names, or globs such as "openai:*"
# tools = ["web_search"]              # the same
# key = "env:AGENT_KEY"               # or a key made by: callgate keys create default

# What agents call besides models: functions of Python, interfaces over HTTP and more; docs/tools.md.
# [tools.web_search]
# python = "my_tools:web_search"      # module:function, beside this file
# effect = "read"                     # read, write or destructive, which is what nobody declares

# What holds for each task of a type. A run may only lower these.
[tasks.default]
budget = "$1"                         # the most that one task may cost
timeout = "30m"

# [tasks.research]
# budget = "$0.50"
# timeout = "10m"
# concurrency = 20                    # tasks of this type that run at once
# max_calls = 60                      # of one task
# max_output_tokens = 4096            # for requests that name no limit

# The most that everything together may cost. Days and months begin where [gate] timezone says.
[caps]
day = "$50"
month = "$500"
alert_at = [0.8, 0.95]                # shares at which somebody is told

# What holds for each end user. An agent often makes dozens of calls for one question.
# [users]
# per_minute = 60
# per_day = 500
# budget_per_day = "$2"

# [users.anna]                        # one user, who then has only the limits that stand here
# budget_per_day = "$10"

# A price of your own, in US dollars for a million tokens. A model without a price is refused
# under a budget.
# [prices."local:my-model"]
# input = "$0.10"
# output = "$0.40"
"""
