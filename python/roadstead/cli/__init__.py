"""The command `roadstead`: one file a verb. Needs the extra `cli` (click, rich, rich-click)."""
