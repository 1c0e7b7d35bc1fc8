# Expect: STATUS_ERROR
import asyncio
asyncio.run(asyncio.create_subprocess_exec('true'))
