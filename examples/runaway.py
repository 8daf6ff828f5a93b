"""An agent gone wrong: 20 calls at a time, and every error is caught and tried again.

It does not stop by itself before it has tried a thousand times; its budget stops it.
"""

import asyncio
import collections

from openai import AsyncOpenAI

MODEL = "gpt-5.5"
AT_ONCE = 20
TRIES_EACH = 50


async def worry(client: AsyncOpenAI, seen: collections.Counter[str]) -> None:
    for _ in range(TRIES_EACH):
        try:
            await client.chat.completions.create(
                model=MODEL,
                max_tokens=400,
                messages=[{"role": "user", "content": "Are you quite sure? Check it all again."}],
            )
            seen["answered"] += 1
        except Exception as error:  # the mistake that this example is about
            seen[type(error).__name__] += 1


async def main() -> None:
    client = AsyncOpenAI()
    seen: collections.Counter[str] = collections.Counter()
    await asyncio.gather(*(worry(client, seen) for _ in range(AT_ONCE)))
    for what, count in seen.most_common():
        print(f"  {count:5} x {what}")


asyncio.run(main())
