"""`gss-keras demo`: the live page."""

import dataclasses

from gss_keras.cli.command import OK, Command


@dataclasses.dataclass(frozen=True, kw_only=True)
class Demo(Command):
    """Serve a page on which photos are segmented in the browser, offline."""

    preset: str = "camvid"
    """Folder or name of a preset of a generative segmenter."""
    host: str = "127.0.0.1"
    """Address to listen at; the default is reached from this computer alone."""
    port: int = 8000
    """Port to listen at; 0 for any that is free."""
    max_pixels: int = 786_432
    """Pixels that larger photos are reduced to."""
    open_browser: bool = False
    """Open the page in the browser."""

    def run(self):
        """Serve until Ctrl+C."""
        from gss_keras.demo import serve

        serve(
            self.preset, self.host, self.port, self.max_pixels,
            self.open_browser,
        )  # fmt: skip
        return OK, {"preset": self.preset}
