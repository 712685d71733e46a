terraform {
  required_version = ">= 1.5"
  required_providers {
    huaweicloud = {
      source = "huaweicloud/huaweicloud"
      # The first that has enable_lts_log.
      version = ">= 1.76.0"
    }
  }
}

# Credentials: HW_ACCESS_KEY and HW_SECRET_KEY of the person who deploys.
provider "huaweicloud" {
  region = var.region
}
