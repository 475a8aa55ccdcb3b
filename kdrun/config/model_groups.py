"""Config groups `teacher` and `student`: every architecture, without a YAML file each.

A Hydra config source, since a ConfigStore of this many nodes is copied at every look-up, which
costs a second.
"""

from hydra.core.object_type import ObjectType
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigResult, ConfigSource
from omegaconf import OmegaConf

from kdrun.catalog.architectures import ARCHITECTURES

GROUPS = ("teacher", "student")


class ArchitectureSource(ConfigSource):
    """`teacher/NAME` and `student/NAME` as `arch: NAME`, under the scheme `architectures://`."""

    @staticmethod
    def scheme() -> str:
        """The scheme in `hydra.searchpath`."""
        return "architectures"

    def available(self) -> bool:
        """Always there."""
        return True

    def is_group(self, config_path: str) -> bool:
        """Whether the path is one of the two groups."""
        return config_path.strip("/") in ("", *GROUPS)

    def is_config(self, config_path: str) -> bool:
        """Whether the path is `group/architecture`."""
        group, _, name = config_path.strip("/").removesuffix(".yaml").partition("/")
        return group in GROUPS and name in ARCHITECTURES

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        """The groups at the top, the architectures in a group."""
        path = config_path.strip("/")
        groups = list(GROUPS) if path == "" and results_filter != ObjectType.CONFIG else []
        names = list(ARCHITECTURES) if path in GROUPS and results_filter != ObjectType.GROUP else []
        return groups + names

    def load_config(self, config_path: str) -> ConfigResult:
        """The one-line config of an option."""
        group, _, name = config_path.strip("/").removesuffix(".yaml").partition("/")
        return ConfigResult(
            provider=self.provider,
            path=self.full_path(),
            config=OmegaConf.create({"arch": name}),
            header={"package": group},
        )


def register() -> None:
    """Make the source known to Hydra; `config.yaml` names it in `hydra.searchpath`."""
    Plugins.instance().register(ArchitectureSource)
