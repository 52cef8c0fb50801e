"""Make the project's dashboard in W&B, or print it with --json, which needs no network and no key.

python scripts/wandb_dashboard.py dataset=qm9 entity=ME [project=mtl_bench] [--json]
"""

import sys

from mtl_bench.errors import MtlBenchError

try:
    from mtl_bench.tracking.workspace import workspace_command
except ImportError as error:
    sys.exit(f"wandb_dashboard: {error}: pip install 'mtl_bench[wandb]'")

if __name__ == "__main__":
    try:
        sys.exit(workspace_command(sys.argv[1:]))
    except MtlBenchError as error:
        print(f"wandb_dashboard: {error}", file=sys.stderr)
        sys.exit(error.exit_status)
