"""The page of Airflow's connections, used as a person does."""

from __future__ import annotations

from collections.abc import Mapping

from playwright.sync_api import Locator, Page

from airflow_provider_impactcall.provider_info import CONNECTION_FIELDS, HOOK_NAME


class ConnectionForm:
    """The open form of one connection of type ``impactcall``.

    :param page: the browser's page that shows it
    """

    def __init__(self, page: Page) -> None:
        self._page = page
        self.dialog = page.get_by_role("dialog")

    @classmethod
    def new(cls, page: Page) -> ConnectionForm:
        """The form of a new connection, with the type ``impactcall`` chosen."""
        page.goto("/connections")
        page.get_by_role("button", name="Add Connection").first.click()
        form = cls(page)
        form.dialog.get_by_role("combobox").fill("impact")
        page.get_by_role("option", name=HOOK_NAME, exact=True).click()
        return form

    @classmethod
    def of(cls, page: Page, conn_id: str) -> ConnectionForm:
        """The form of an existing connection."""
        page.goto("/connections")
        row(page, conn_id).get_by_role("button", name="Edit Connection").click()
        return cls(page)

    def open(self, section: str) -> None:
        self.dialog.get_by_role("button", name=section, exact=True).click()

    @property
    def own_fields(self) -> Locator:
        """This package's fields, each with its label and its help, in the order of the form."""
        named = self._page.locator("[name^=element_]")
        return self.dialog.locator("[data-scope=field][data-part=root]").filter(has=named)

    def standard(self, name: str) -> Locator:
        """The input of one of Airflow's own fields."""
        return self.dialog.locator(f"[name={name}]")

    def own(self, name: str) -> Locator:
        """The input of one of this package's fields."""
        return self.dialog.locator(f"[name=element_{name}]")

    def fill(self, standard: Mapping[str, str], own: Mapping[str, str]) -> None:
        for name, value in standard.items():
            self.standard(name).fill(value)
        self.open("Extra Fields")
        for name, value in own.items():
            if "enum" in CONNECTION_FIELDS[name]["schema"]:
                self.dialog.get_by_role("combobox", name=CONNECTION_FIELDS[name]["label"], exact=True).click()
                self._page.get_by_role("option", name=value, exact=True).click()
            else:
                self.own(name).fill(value)
                self.own(name).blur()

    def save(self) -> None:
        self.dialog.get_by_role("button", name="Save").click()
        self.dialog.wait_for(state="hidden")


def row(page: Page, conn_id: str) -> Locator:
    """A connection in the list of them."""
    return page.get_by_role("row").filter(has=page.get_by_role("cell", name=conn_id, exact=True))
