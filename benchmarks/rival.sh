#!/usr/bin/env bash
# Makes the environment that MultiVae is compared in: benchmarks/rival.sh DIR
# CPU torch, and of MultiVae's dependencies those that its models and trainers import.
# PYTHON=python3.12 benchmarks/rival.sh DIR makes it of another interpreter.
set -euo pipefail
"${PYTHON:-python3}" -m venv "$1"
pip=("$1/bin/python" -m pip install -q)
cpu=(--index-url https://download.pytorch.org/whl/cpu)
"${pip[@]}" torch==2.13.0 "${cpu[@]}"
"${pip[@]}" --no-deps torchvision==0.28.0 "${cpu[@]}"
"${pip[@]}" --no-deps multivae==1.0.3 pythae==0.1.2 torchmetrics lightning-utilities
"${pip[@]}" cloudpickle pydantic nltk pandas scikit-learn 'scipy<1.18' imageio tqdm matplotlib
