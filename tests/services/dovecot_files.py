"""What stands in the files of the suite's Dovecot."""

PROTOCOLS = ("imap", "pop3", "submission")

MICROSOFT = "https://outlook.office.com"
FASTMAIL = "https://www.fastmail.com/dev"

# The scope without which a protocol is closed, by personality.
SCOPES = {
    "microsoft": {
        "imap": f"{MICROSOFT}/IMAP.AccessAsUser.All",
        "pop3": f"{MICROSOFT}/POP.AccessAsUser.All",
        "submission": f"{MICROSOFT}/SMTP.Send",
    },
    "google": dict.fromkeys(PROTOCOLS, "https://mail.google.com/"),
    "oidc": dict.fromkeys(PROTOCOLS, "mail"),
    "plain": {
        "imap": f"{FASTMAIL}/protocol-imap",
        "pop3": f"{FASTMAIL}/protocol-pop",
        "submission": f"{FASTMAIL}/protocol-smtp",
    },
}

# The same of an app's own token.
APP_ROLES = {
    "imap": f"{MICROSOFT}/IMAP.AccessAsApp",
    "pop3": f"{MICROSOFT}/POP.AccessAsApp",
    "submission": f"{MICROSOFT}/SMTP.SendAsApp",
}

# Everything runs as one account, so nothing changes its root directory, as only root may.
CHROOTED = (
    "anvil",
    "director",
    "imap-login",
    "imap-urlauth-login",
    "ipc",
    "pop3-login",
    "stats",
    "submission-login",
)

MAIN = """\
protocols = imap pop3 submission
listen = 127.0.0.1, 127.0.0.2, 127.0.0.3
base_dir = {directory}/run
state_dir = {directory}/run
log_path = /dev/stderr
auth_verbose = yes
hostname = localhost

default_internal_user = {user}
default_internal_group = {group}
default_login_user = {user}
first_valid_uid = 1
first_valid_gid = 1

ssl = required
auth_mechanisms = xoauth2 oauthbearer
auth_cache_size = 0
# The usual ones and three that frames or addresses make something of.
auth_username_chars = abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ01234567890.-_@+=,
auth_failure_delay = 0
# Tests come from one address, and fail on purpose.
mail_max_userip_connections = 0

userdb {{
  driver = static
  args = uid={user} gid={group} home={homes}/%u allow_all_users=yes
}}
mail_location = maildir:~/Maildir
namespace inbox {{
  inbox = yes
  separator = /
}}

submission_relay_host = 127.0.0.1
submission_relay_port = {relay}

service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
"""

CERTIFICATE = """\
local {host} {{
  ssl_cert = <{file}
  ssl_key = <{file}
}}
"""

LISTENERS = """\
service {protocol}-login {{
  inet_listener {protocol} {{
    port = {clear}
  }}
  inet_listener {protocol}s {{
    port = {tls}
    ssl = yes
  }}
}}
protocol {protocol} {{
  passdb {{
    driver = oauth2
    mechanisms = xoauth2 oauthbearer
    args = {directory}/{protocol}.oauth2
  }}
}}
"""

OAUTH2 = """\
introspection_mode = post
introspection_url = {url}
force_introspection = yes
active_attribute = active
active_value = true
username_attribute = username
username_format = {user}
scope = {scope}
timeout_msecs = 2000
max_parallel_connections = 8
"""
