"""Run the simulator with `python -m batchrun.simulator`."""

from batchrun.simulator.command import simulate

if __name__ == "__main__":
    simulate(prog_name="python -m batchrun.simulator")
