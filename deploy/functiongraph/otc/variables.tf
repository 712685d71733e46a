variable "region" {
  description = "Of the functions, their bucket and the RocketMQ instance. The provider's own region and endpoints follow it."
  type        = string
  default     = "eu-de"
  validation {
    condition     = !contains(["eu-nl"], var.region)
    error_message = "FunctionGraph and the API gateway do not exist there (docs/limits.md)."
  }
}

variable "name" {
  description = "What everything is named after."
  type        = string
  default     = "hookmq"
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}[a-z0-9]$", var.name))
    error_message = "3 to 32 of a-z, 0-9 and -, from a letter on, no - at the end."
  }
}

variable "function" {
  description = "rocketmq or tdmq: the queue that webhooks are forwarded to."
  type        = string
  default     = "rocketmq"
  validation {
    condition     = contains(["tdmq", "rocketmq"], var.function)
    error_message = "rocketmq or tdmq."
  }
}

variable "kind" {
  description = "http (several requests at once in an instance) or custom (one event at a time)."
  type        = string
  default     = "http"
  validation {
    condition     = contains(["http", "custom"], var.kind)
    error_message = "http or custom."
  }
}

variable "packages" {
  description = "Where deploy/package wrote its zips."
  type        = string
  default     = "../../../target/deploy"
}

variable "project_id" {
  description = "The project of the RocketMQ instance: 32 hexadecimal digits, under My Credentials."
  type        = string
  validation {
    condition     = can(regex("^[0-9a-f]{32}$", var.project_id))
    error_message = "32 hexadecimal digits in small letters, and not the name of the project."
  }
}

variable "project_name" {
  description = "The name of that project, where the agency may send."
  type        = string
}

variable "tenant_name" {
  description = "The project of the functions, the gateway and the logs, if it is another one than that of the RocketMQ instance."
  type        = string
  default     = null
}

variable "rocketmq_instance_id" {
  description = "The RocketMQ instance's UUID; empty for tdmq."
  type        = string
  default     = ""
}

variable "gateway_id" {
  description = "The dedicated API gateway that the function is behind. It costs money by the hour, so it is not made here."
  type        = string
}

variable "environment" {
  description = "More variables of docs/configuration.md: TDMQ_REGION, SOURCE_URI and such. No secrets."
  type        = map(string)
  default     = {}
}

variable "hook_secrets" {
  description = "The variables that hooks.toml names: GITHUB_SECRET and such. Stored encrypted in the function; readable in Terraform's state."
  type        = map(string)
  sensitive   = true
}

variable "queue_secrets" {
  description = "Keys of the queue where the agency's do not do: TENCENTCLOUD_SECRET_ID and TENCENTCLOUD_SECRET_KEY for tdmq. The redriver gets them too."
  type        = map(string)
  sensitive   = true
  default     = {}
}

variable "dms_roles" {
  description = "Roles by which the agency may send. Which one is the least that suffices is not documented: docs/otc-huawei-cloud.md."
  type        = list(string)
  default     = ["DMS UserAccess"]
}

variable "spill" {
  description = "Whether deliveries that the queue does not take in time are kept in a bucket and sent later."
  type        = bool
  default     = true
}

variable "kms_id" {
  description = "The KMS key that encrypts the bucket: one of the region's own project (eu-de), because OBS takes no other. With spill it must be set, so that nobody leaves the bucket unencrypted unawares: \"\" says so on purpose."
  type        = string
  default     = null
}

variable "kms_roles" {
  description = "Roles by which the agencies may use that key, in the region's own project, instead of the policy that the module makes: [\"KMS Administrator\"] if that one does not suffice."
  type        = list(string)
  default     = []
}

variable "redrive_shards" {
  description = "Redrivers side by side, each with a share of the waiting deliveries and of its queue's pace: 1, 2, 4 or 8."
  type        = number
  default     = 1
  validation {
    condition     = contains([1, 2, 4, 8], var.redrive_shards)
    error_message = "1, 2, 4 or 8."
  }
}

variable "concurrency" {
  description = "Requests at once in one instance of an http function: 1 to 1000."
  type        = number
  default     = 20
  validation {
    condition     = floor(var.concurrency) == var.concurrency && var.concurrency >= 1 && var.concurrency <= 1000
    error_message = "1 to 1000."
  }
}

variable "max_instances" {
  description = "Maximum number of instances of the forwarder. An account has 100 concurrent executions by default, and the redriver needs some of them."
  type        = number
  default     = 80
  validation {
    condition     = floor(var.max_instances) == var.max_instances && var.max_instances >= 1 && var.max_instances <= 1000
    error_message = "1 to 1000."
  }
}

variable "memory" {
  description = "MB of the forwarder: a multiple of 128."
  type        = number
  default     = 128
  validation {
    condition     = var.memory >= 128 && var.memory % 128 == 0
    error_message = "A multiple of 128."
  }
}

variable "timeout" {
  description = "Seconds of a request: more than the longest deadline of a hook, and at most 60, which is the gateway's limit."
  type        = number
  default     = 30
  validation {
    condition     = floor(var.timeout) == var.timeout && var.timeout >= 3 && var.timeout <= 60
    error_message = "3 to 60."
  }
}

variable "log_days" {
  description = "Days for which logs are kept: 1 to 365."
  type        = number
  default     = 7
  validation {
    condition     = floor(var.log_days) == var.log_days && var.log_days >= 1 && var.log_days <= 365
    error_message = "1 to 365."
  }
}

variable "claim_days" {
  description = "Days for which bodies that messages refer to are kept: longer than the topic keeps its messages."
  type        = number
  default     = 30
  validation {
    condition     = floor(var.claim_days) == var.claim_days && var.claim_days >= 1
    error_message = "A whole number of days, 1 at least."
  }
}

variable "alarm_topic" {
  description = "URN of the SMN topic that the redriver's alarms tell: urn:smn:REGION:PROJECT:NAME. Without it they ring in the console alone."
  type        = string
  default     = ""
}

variable "alarm_user" {
  description = "Name under which the alarms on the log notify: the IAM user that made the topic. Needed with alarm_topic."
  type        = string
  default     = ""
}
