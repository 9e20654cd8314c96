"""Two examples for each command, which its help ends with."""

EXAMPLES = {
    "derain": ("derain run photo.jpg", "derain video clip.mp4"),
    "models": ("derain models list", "derain models verify"),
    "export": ("derain export onnx", "derain export onnx --weights mine.safetensors"),
    "run": ("derain run photo.jpg", "derain run -r holiday/ -o dry/"),
    "video": ("derain video clip.mp4", "derain video clip.mp4 --start 60 --end 70"),
    "score": ("derain score photo.jpg", "derain score -r archive/ --json > scores.jsonl"),
    "serve": ("derain serve", "derain serve --host 0.0.0.0 --port 8000"),
    "train": (
        "derain train --rainy wet --clean dry --out run",
        "derain train --rainy wet --clean dry --out run --resume",
    ),
    "finetune": ("derain finetune my_rainy/", "derain finetune my_rainy/ -o mine.safetensors"),
    "eval": ("derain eval --self-test", "derain eval --rainy wet/ --clean dry/ --report r.html"),
    "doctor": ("derain doctor", "derain doctor --json"),
    "list": ("derain models list", "derain run photo.jpg --weights nlcl"),
    "download": ("derain models download hf:OWNER/REPO", "derain run photo.jpg --weights hf:OWNER/REPO"),
    "path": ("derain models path", "derain models path nlcl"),
    "info": ("derain models info", "derain models info mine.safetensors"),
    "verify": ("derain models verify", "derain models verify mine.safetensors"),
    "onnx": ("derain export onnx", "derain export onnx --weights mine.safetensors"),
}


def epilog(command: str) -> str | None:
    """The examples as the end of a command's help."""
    lines = EXAMPLES.get(command)
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)]) if lines else None
