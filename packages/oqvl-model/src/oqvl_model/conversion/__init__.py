"""Convert models of other layouts into model directories, tensor by tensor.

layouts         which layout a source has, and its reader
open_qwen2vl    the released Open-Qwen2VL weights, and Prismatic VLMs with the same parts
llava           LLaVA as transformers saves it, and as LLaVA's own code does (`llava_qwen`)
trainer         checkpoints of oqvl-train, merged with the model that the run started from
siglip          the names and sizes of a SigLIP tower, in timm's and transformers' files
tokenizer       special tokens of a converted model
source_model    what every reader returns
key_map         which source key becomes which weight; no key is passed over
tensor_files    tensors of files that are read when they are needed
tensor_stream   writing them one at a time
"""
