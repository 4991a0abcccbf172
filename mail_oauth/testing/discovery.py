"""OpenID Connect discovery documents (OpenID Connect Discovery 1.0 section 3; RFC 8414; RFC 9207)."""

from mail_oauth.testing.personalities import OIDC_SCOPES, Personality, urls_of


def discovery_document(personality: Personality, base: str, tenant: str) -> dict[str, object]:
    """What ``personality`` says about itself, for Microsoft as seen by ``tenant``."""
    urls = urls_of(personality, base, tenant)
    document: dict[str, object] = {
        "issuer": urls["issuer"],
        "authorization_endpoint": urls["authorize"],
        "token_endpoint": urls["token"],
        "userinfo_endpoint": urls["userinfo"],
        "jwks_uri": urls["jwks"],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query", "fragment"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "subject_types_supported": ["pairwise" if personality.one_resource_per_token else "public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "scopes_supported": sorted(OIDC_SCOPES),
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
    }
    if "revoke" in urls:
        document["revocation_endpoint"] = urls["revoke"]
    if not personality.one_resource_per_token:
        # Microsoft accepts PKCE but does not say so in its document.
        document["code_challenge_methods_supported"] = ["S256"]
    if personality.sends_iss:
        document["authorization_response_iss_parameter_supported"] = True
    return document
