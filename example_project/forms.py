"""The form that writes a message."""

from django import forms


class MessageForm(forms.Form):
    """To whom, about what, and the text."""

    to = forms.EmailField(label="To", max_length=254, widget=forms.EmailInput(attrs={"autocomplete": "email"}))
    subject = forms.CharField(label="Subject", max_length=200)
    text = forms.CharField(label="Text", max_length=10_000, widget=forms.Textarea(attrs={"rows": 5}))

    def clean_subject(self) -> str:
        """One line, whatever was sent: a second one would be another header."""
        return " ".join(str(self.cleaned_data["subject"]).split())
