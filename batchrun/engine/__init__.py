"""Carries a job out: the only place where the stages meet.

Theory of operation. `runner` starts one `execution` on an event loop, and has it published. An execution goes this way:

1. `access` finds the key, or starts the embedded simulator. `prompts` opens the input and reads its first rows. The
   run directory is locked. A mistake in the job ends the execution here, before anything is written.
2. `resume` fits the checkpoint to the job and the input: which answers still hold, which rows are to be sent.
3. `preflight` estimates what is left; `caps` turns the user's limits on money and tokens into a budget. A run above its
   caps is refused here. Only then is it recorded what this run is: nothing can refuse it any more.
4. `live` sends. A thread of `threads` reads rows, renders requests a few batches ahead, and leaves out those that are
   settled. The pool of `endpoint` sends them, judges the replies and retries. Each outcome goes to the queue of
   `checkpoint`, whose writer thread commits it. Meanwhile `ticker` shows the figures, writes run.json, shares the limit
   with other runs of this machine (`shared_limit`), and stops the run at its `deadline`.
5. `results` writes the tables from the checkpoint, whatever has happened before; they are uploaded.

Everything that waits runs on one event loop; reading, writing and exporting run in threads. An error of the run itself
drains the pool first, because what is in flight is paid for, and is raised after the results are written.
"""
