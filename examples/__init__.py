"""The demo and its parts. What stands here is done before transformers is imported: it reads it then."""

import os
import warnings

os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "TQDM_DISABLE": "1"}
# nothing the demo could change: transformers speaks of its own next release, PEFT of a base that is not on a hub
warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
warnings.filterwarnings("ignore", message="Could not find a config file", module="peft")
