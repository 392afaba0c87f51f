"""The command line, with a folder as the store `s3://bkt/`: `python -m harness.power.uploading FOLDER ARGUMENT…`."""

import sys

from pyarrow import fs

from batchrun.__main__ import main
from batchrun.storage import objects

if __name__ == "__main__":
    system = fs.SubTreeFileSystem(sys.argv.pop(1), fs.LocalFileSystem())
    objects._system = lambda scheme, host, options: (system, host)
    main()
