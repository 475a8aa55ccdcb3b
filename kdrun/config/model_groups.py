"""Config groups `teacher` and `student`: every architecture, without YAML files.

This is a Hydra config source because a ConfigStore of this many nodes is copied at every look-up,
at a cost of one second.
"""

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.object_type import ObjectType
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigResult, ConfigSource
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import OmegaConf

from kdrun.catalog.architectures import ARCHITECTURES
from kdrun.config.paths import config_folder

GROUPS = ("teacher", "student")


class ArchitectureSource(ConfigSource):
    """Config source `architectures://` of `teacher/NAME` and `student/NAME` as `arch: NAME`."""

    @staticmethod
    def scheme() -> str:
        """Return the scheme in `hydra.searchpath`."""
        return "architectures"

    def available(self) -> bool:
        """Return True: the source is always available."""
        return True

    def is_group(self, config_path: str) -> bool:
        """Whether the path is one of the two groups."""
        return config_path.strip("/") in ("", *GROUPS)

    def is_config(self, config_path: str) -> bool:
        """Whether the path is `group/architecture`."""
        group, _, name = config_path.strip("/").removesuffix(".yaml").partition("/")
        return group in GROUPS and name in ARCHITECTURES

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        """List the groups at the top level, and the architectures of a group."""
        path = config_path.strip("/")
        groups = list(GROUPS) if path == "" and results_filter != ObjectType.CONFIG else []
        names = list(ARCHITECTURES) if path in GROUPS and results_filter != ObjectType.GROUP else []
        return groups + names

    def load_config(self, config_path: str) -> ConfigResult:
        """Return the one-line config of an option."""
        group, _, name = config_path.strip("/").removesuffix(".yaml").partition("/")
        return ConfigResult(
            provider=self.provider,
            path=self.full_path(),
            config=OmegaConf.create({"arch": name}),
            header={"package": group},
        )


class KdrunSearchPath(SearchPathPlugin):
    """Search path of kdrun's presets and models, whatever `hydra.searchpath` or primary config.

    It is registered by this process: an installed plugin would change every program that uses
    Hydra.
    """

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Append kdrun's configs, unless the primary config is there, and the models."""
        presets = f"file://{config_folder()}"
        if all(element.path != presets for element in search_path.get_path()):
            search_path.append("kdrun", presets)
        search_path.append("architectures", f"{ArchitectureSource.scheme()}://")


def register() -> None:
    """Register the source and its place in the search path with Hydra."""
    Plugins.instance().register(ArchitectureSource)
    Plugins.instance().register(KdrunSearchPath)
